"""What a prompt asks for, how a response answers it, and how alike two responses are."""

import numpy as np

from arena_estimators.feature_extraction._style_lexicon import KINDS

_FROM_TEXT = (
    "log_characters", "log_words", "log_sentences", "log_turns", "code_blocks", "digits",
    "non_ascii", "questions", "exclamations", "first_person", "empty",
)  # fmt: skip
_FORMATS = ("code_blocks", "ordered_items", "bullet_items", "table_rows")
PROMPT_MEASURES = (*_FROM_TEXT, *KINDS)
ANSWER_MEASURES = ("prompt_overlap", "log_new_words", "script_match", "format_match")
SIMILARITY_MEASURES = ("shared_words", "identical")


def measure_prompts(values, words):
    """Pick the measures of prompts and add what kind of answer each asks for, by its words.

    Parameters
    ----------
    values, words : dict and Words
        What `measure_texts` gave.
    """
    kinds = {kind: words.meets(kind).astype(float) for kind in KINDS}
    return {name: values[name] for name in _FROM_TEXT} | kinds


def measure_answers(asked, values, words, prompt, response):
    """Measure responses against their prompts.

    Parameters
    ----------
    asked : dict of str to ndarray
        What `measure_prompts` gave.
    values, words : dict and Words
        What `measure_texts` gave.
    prompt, response : ndarray of shape (n_pairs,)
        Numbers of the texts.

    Returns
    -------
    dict of str to ndarray of shape (n_pairs,)
    """
    asks = {name: asked[name][prompt] > 0 for name in KINDS}
    has = {name: values[name][response] > 0 for name in _FORMATS}
    content = words.n_distinct - words.distinct_in("function_words")
    shared = words.shared(prompt, response, without="function_words")
    kept = (
        (asks["asks_code"] & has["code_blocks"])
        | (asks["asks_list"] & (has["ordered_items"] | has["bullet_items"]))
        | (asks["asks_table"] & has["table_rows"])
        | (asks["asks_brief"] & (values["log_words"][response] < 4))
    )
    not_ascii = values["non_ascii"]
    answers = {
        "prompt_overlap": shared / np.maximum(1, content[prompt]),
        "log_new_words": np.log1p(content[response] - shared),
        "script_match": 1 - np.abs(not_ascii[prompt] - not_ascii[response]),
        "format_match": kept,
    }
    empty = values["empty"][response] == 1
    return {name: np.where(empty, 0.0, answers[name]) for name in ANSWER_MEASURES}


def measure_similarity(words, first, second):
    """Compare two responses: Jaccard index of their distinct words, and whether they are equal."""
    shared = words.shared(first, second)
    union = words.n_distinct[first] + words.n_distinct[second] - shared
    alike = np.where(union > 0, shared / np.maximum(1, union), 1.0)
    return {"shared_words": alike, "identical": (first == second).astype(float)}
