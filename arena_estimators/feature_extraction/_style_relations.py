"""What a prompt asks for, how a response answers it, and how alike two responses are."""

from math import log1p

from arena_estimators.feature_extraction._style_counts import FUNCTION_WORDS

_FROM_TEXT = (
    "log_characters", "log_words", "log_sentences", "log_turns", "code_blocks", "digits",
    "non_ascii", "questions", "exclamations", "first_person", "empty",
)  # fmt: skip
_KINDS = {
    "asks_code": "code python javascript java html css sql bash script program function regex api "
    "class c algorithm debug compile",
    "asks_list": "list lists steps ways ideas tips examples items bullet recipe recommend suggest "
    "suggestions names reasons things",
    "asks_table": "table spreadsheet csv columns",
    "asks_brief": "brief briefly short concise summarize summarise summary shorten tldr sentence",
    "asks_prose": "story poem song lyrics essay haiku joke letter email blog article post speech "
    "paragraph write",
    "asks_edit": "rewrite translate correct paraphrase edit fix improve proofread rephrase convert "
    "classify extract",
    "asks_fact": "what who when where which whose",
    "asks_how": "how why explain describe",
    "asks_number": "calculate solve equation sum many much percent probability average",
}
_KINDS = {kind: frozenset(words.split()) for kind, words in _KINDS.items()}


def measure_prompt(values, counts):
    """Pick the measures of a prompt and add what kind of answer it asks for, by its words."""
    kinds = {kind: float(not words.isdisjoint(counts)) for kind, words in _KINDS.items()}
    return {name: values[name] for name in _FROM_TEXT} | kinds


def measure_answer(prompt, prompt_words, values, counts):
    """Measure a response against its prompt.

    Parameters
    ----------
    prompt : dict of str to float
        What `measure_prompt` gave.
    prompt_words : set of str
        The prompt's content words.
    values, counts : dict and Counter
        What `measure_text` gave for the response.
    """
    if values["empty"] == 1:
        return dict.fromkeys(ANSWER_MEASURES, 0.0)
    shared = len(prompt_words & counts.keys())
    has_list = values["ordered_items"] + values["bullet_items"] > 0
    kept = (
        (prompt["asks_code"] and values["code_blocks"] > 0)
        or (prompt["asks_list"] and has_list)
        or (prompt["asks_table"] and values["table_rows"] > 0)
        or (prompt["asks_brief"] and values["log_words"] < 4)
    )
    return {
        "prompt_overlap": shared / max(1, len(prompt_words)),
        "log_new_words": log1p(len(content_words(counts)) - shared),
        "script_match": 1 - abs(prompt["non_ascii"] - values["non_ascii"]),
        "format_match": float(bool(kept)),
    }


ANSWER_MEASURES = ("prompt_overlap", "log_new_words", "script_match", "format_match")
SIMILARITY_MEASURES = ("shared_words", "identical")


def content_words(counts):
    """Give the distinct words that carry meaning."""
    return counts.keys() - FUNCTION_WORDS


def similarity(counts_a, counts_b, identical):
    """Compare two responses: Jaccard index of their distinct words, and whether they are equal."""
    shared = len(counts_a.keys() & counts_b.keys())
    union = len(counts_a) + len(counts_b) - shared
    return shared / union if union else 1.0, float(identical)
