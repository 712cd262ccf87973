"""What can be counted in one text: the measures behind PairStyleFeatures.

Headers, list items and bold are counted as Arena's style control counts them (file
`utils/add_markdown_info.py` of github.com/lmarena/arena-hard-auto, explained in
https://lmsys.org/blog/2024-08-28-style-control/): fenced code is taken out first, a header is a
line that starts with one to six `#` and a space, a list item starts after optional spaces with a
number and a point or with one of `-*+`, bold is text between two `**` or two `__` on one line.
Unlike there, blank space around a turn is removed first. All other measures are this library's own.
Counts enter as log(1 + count).
"""

import re
import zlib
from collections import Counter
from math import log1p

from arena_estimators.battles import turns_of

FENCE = "```"
_CODE_BLOCK = re.compile(r"```[^`]*```")  # style control: what is taken out before counting
# Style control's three patterns start with ^ and \s*. These find as many places in linear time.
_HEADER = re.compile(r"\n#{1,6}(?=\s)")
_ORDERED = re.compile(r"\n[^\S\n]*\d+\.(?=\s)")
_BULLET = re.compile(r"\n[^\S\n]*[-*+](?=\s)")
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")  # style control
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"https?://|\]\(\S")
_TABLE_ROW = re.compile(r"\n *\|.*\| *(?=\n|$)")
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?…][\"')*]?(?=\s|$)")
_WIDE_STOPS = "。！？"
_ASCII_WORDS = bytes(c if chr(c).isalnum() or c == 95 else 32 for c in range(128)) + b" " * 128
_NON_ASCII = bytes(range(128, 256))
_DIGITS = b"0123456789"
_NAME = re.compile(r"[a-z,] [A-Z](?=[a-z])")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
_BLANK_LINE = re.compile(r"\n\s*\n")
_FINISHED = tuple(".!?…。！？)]}>\"'”’`*|~")

# Phrases are compared with the lower-case text in which ’ was replaced by '.
_REFUSALS = (
    "i cannot", "i can't", "i am unable", "i'm unable", "i am not able", "i'm not able", "i won't",
    "i do not have access", "i don't have access", "i must decline", "cannot assist",
    "can't assist", "cannot provide", "can't provide", "cannot help", "can't help with",
    "not comfortable", "not appropriate", "against my", "no puedo", "je ne peux pas",
    "ich kann nicht", "не могу", "无法",
)  # fmt: skip
_APOLOGIES = (
    "sorry", "apologize", "apologise", "apologies", "unfortunately", "lo siento", "désolé",
    "tut mir leid", "извините", "抱歉", "对不起",
)  # fmt: skip
_SELF_MENTIONS = ("as an ai", "i'm an ai", "i am an ai", "language model", "ai assistant")
_OPENINGS = (
    "sure", "certainly", "of course", "absolutely", "great question", "good question", "hello",
    "hi ", "hi!", "hey", "thank you", "thanks", "i'd be happy", "i would be happy", "here is",
    "here's", "here are", "okay", "yes",
)  # fmt: skip
_OFFERS = (
    "let me know", "feel free", "hope this helps", "hope that helps", "if you have any",
    "would you like", "anything else", "happy to help", "need more", "if you need",
)  # fmt: skip
_EXAMPLES = ("for example", "such as", "for instance", "e.g", "por ejemplo", "zum beispiel")
_FIRST_PERSON = frozenset("i me my mine myself we us our".split())
_HEDGES = frozenset(
    "may maybe perhaps might could possibly probably seems seem likely generally typically usually "
    "often sometimes depends depending".split()
)
FUNCTION_WORDS = frozenset(
    "a about after all also am an and any are as at be been but by can could did do does for from "
    "had has have he her his how i if in into is it its just like me more most my no not of on one "
    "or our out over she should so some such than that the their them then there these they this "
    "to up us was we were what when where which who will with would you your".split()
)


def measure_text(cell):
    """Measure one cell.

    Parameters
    ----------
    cell : str, None, list or tuple of turns

    Returns
    -------
    values : dict of str to float
        The measures. A cell without text has 1 for `empty` and 0 for everything else.
    counts : Counter
        How often each lower-case word occurs.
    """
    turns = turns_of(cell)
    filled = [turn.strip() for turn in turns if turn and not turn.isspace()]
    if not filled:
        return dict(_EMPTY), Counter()
    text = filled[0] if len(filled) == 1 else "\n\n".join(filled)
    lower = text.lower()
    if "’" in lower:
        lower = lower.replace("’", "'")
    words = split_words(lower)
    counts = Counter(words)
    values = {
        "empty": 1 - len(filled) / len(turns),
        "log_turns": log1p(len(filled)),
        **_sizes(text, words, counts),
        **_markdown(text),
        **_characters(text),
        **_wording(lower, counts, len(words)),
        **_repetition(text, lower),
        **_ending(text, lower),
    }
    return values, counts


def split_words(lower):
    r"""Find what the pattern ``\w+`` finds, four times as fast where the text is ASCII."""
    if lower.isascii():
        return lower.encode().translate(_ASCII_WORDS).decode().split()
    return _WORD.findall(lower)


def _sizes(text, words, counts):
    sentences = max(1, len(_SENTENCE_END.findall(text)) + _count(text, _WIDE_STOPS))
    n_words = max(1, len(words))
    long = [count for word, count in counts.items() if len(word) >= 8]
    return {
        "log_characters": log1p(len(text)),
        "log_words": log1p(len(words)),
        "log_distinct_words": log1p(len(counts)),
        "log_sentences": log1p(sentences),
        "log_lines": log1p(text.count("\n")),
        "log_paragraphs": log1p(len(_BLANK_LINE.findall(text)) + 1),
        "log_long_words": log1p(len(long)),
        "long_words": sum(long) / n_words,
        "word_length": len("".join(words)) / n_words,
        "log_sentence_length": log1p(n_words / sentences),
        "type_token_ratio": len(counts) / n_words,
    }


def _markdown(text):
    blocks = text.count(FENCE) // 2
    prose = "\n" + (_CODE_BLOCK.sub("", text) if blocks else text)
    return {
        "headers": log1p(len(_HEADER.findall(prose))) if "#" in prose else 0.0,
        "ordered_items": log1p(len(_ORDERED.findall(prose))) if "." in prose else 0.0,
        "bullet_items": log1p(len(_BULLET.findall(prose))),
        "bold": log1p(len(_BOLD.findall(prose))) if "**" in prose or "__" in prose else 0.0,
        "table_rows": log1p(len(_TABLE_ROW.findall(prose))) if "|" in prose else 0.0,
        "code_blocks": log1p(blocks),
        "inline_code": log1p(len(_INLINE_CODE.findall(prose))) if "`" in prose else 0.0,
        "links": log1p(len(_LINK.findall(text))) if "http" in text or "](" in text else 0.0,
    }


def _characters(text):
    size = len(text)
    raw = text.encode("utf-8", "surrogatepass")
    ascii_size = len(raw.translate(None, _NON_ASCII))
    return {
        "digits": (len(raw) - len(raw.translate(None, _DIGITS))) / size,
        "non_ascii": 1 - ascii_size / size,
        "emoji": 0.0 if ascii_size == size else log1p(len(_EMOJI.findall(text))),
        "questions": log1p(text.count("?") + text.count("？")),
        "exclamations": log1p(text.count("!") + text.count("！")),
        "commas": text.count(",") / size,
        "semicolons": log1p(text.count(";")),
        "names": log1p(len(_NAME.findall(text))),
        "quotes": log1p(text.count('"') + text.count("“")),
        "parentheses": log1p(text.count("(")),
        "dashes": log1p(text.count(" - ") + text.count("—") + text.count("–")),
    }


def _wording(lower, counts, n_words):
    def share(lexicon):
        return sum(map(counts.__getitem__, counts.keys() & lexicon)) / max(1, n_words)

    return {
        "first_person": share(_FIRST_PERSON),
        "hedges": share(_HEDGES),
        "function_words": share(FUNCTION_WORDS),
        "refusals": log1p(_count(lower, _REFUSALS)),
        "apologies": log1p(_count(lower, _APOLOGIES)),
        "examples": log1p(_count(lower, _EXAMPLES)),
        "self_mentions": log1p(_count(lower, _SELF_MENTIONS)),
    }


def _repetition(text, lower):
    """Loops: lines that come back, and how well the text compresses."""
    lines = [line for line in text.split("\n") if line]
    packed = zlib.compress(lower.encode("utf-8", "surrogatepass"), level=1)
    return {
        "repeated_lines": 1 - len(set(lines)) / len(lines),
        "compression": len(packed) / len(text),
    }


def _ending(text, lower):
    finished = text.endswith(_FINISHED)
    last_line = text[text.rfind("\n") + 1 :]
    cut = text.count(FENCE) % 2 or (not finished and last_line.count(" ") >= 7)
    return {
        "greets": float(lower.startswith(_OPENINGS)),
        "offers_more": float(_count(lower[-250:], _OFFERS) > 0),
        "ends_asking": float(text.endswith(("?", "？"))),
        "finished": float(finished),
        "cut_off": float(bool(cut)),
    }


def _count(text, phrases):
    return sum(map(text.count, phrases))


_EMPTY = dict.fromkeys(measure_text("x")[0], 0.0) | {"empty": 1.0}
