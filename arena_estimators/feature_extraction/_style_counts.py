"""What can be counted in a text: the measures behind PairStyleFeatures.

Headers, list items and bold are counted as Arena's style control counts them (file
`utils/add_markdown_info.py` of github.com/lmarena/arena-hard-auto, explained in
https://lmsys.org/blog/2024-08-28-style-control/): fenced code is taken out first, a header is a
line that starts with one to six `#` and a space, a list item starts after optional spaces with a
number and a point or with one of `-*+`, bold is text between two `**` or two `__` on one line.
Unlike there, blank space around a turn is removed first and every line ends in a line feed alone.
All other measures are this library's own. Counts enter as log(1 + count).

Many texts are measured at once. NumPy counts single characters, short patterns and words; what only
few texts hold is counted text by text, in those that can hold it.
"""

import re

import numpy as np

from arena_estimators.battles import turns_of
from arena_estimators.feature_extraction._style_characters import Characters, is_emoji
from arena_estimators.feature_extraction._style_lexicon import NOT_ASCII, OFFERS, OPENINGS, PHRASES
from arena_estimators.feature_extraction._style_words import Words

MEASURES = (
    "empty", "log_turns",
    "log_characters", "log_words", "log_distinct_words", "log_sentences", "log_lines",
    "log_paragraphs", "log_long_words", "long_words", "word_length", "log_sentence_length",
    "type_token_ratio",
    "headers", "ordered_items", "bullet_items", "bold", "table_rows", "code_blocks", "inline_code",
    "links",
    "digits", "non_ascii", "emoji", "questions", "exclamations", "commas", "semicolons", "names",
    "quotes", "parentheses", "dashes",
    "first_person", "hedges", "function_words",
    "refusals", "apologies", "examples", "self_mentions",
    "repeated_lines",
    "greets", "offers_more", "ends_asking", "finished", "cut_off",
)  # fmt: skip
FENCE = "```"
_CODE_BLOCK = re.compile(r"```[^`]*```")  # style control: what is taken out before counting
# Style control's three patterns start with ^ and \s*. These find as many places in linear time.
_HEADER = re.compile(r"\n#{1,6}(?=\s)")
_ORDERED = re.compile(r"\n[^\S\n]*\d+\.(?=\s)")
_BULLET = re.compile(r"\n[^\S\n]*[-*+](?=\s)")
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")  # style control
_BOLD_STARS = re.compile(r"\*\*[^*\n]+\*\*")  # the same where there is but one kind: much faster
_BOLD_UNDERSCORES = re.compile(r"__[^_\n]+__")
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"https?://|\]\(\S")
_TABLE_ROW = re.compile(r"\n *\|.*\| *(?=\n|$)")
_OPENING = re.compile(rf"(?:{'|'.join(OPENINGS)})\b")
_LONGEST = 30  # cap on the mean length of words: a text without spaces is one of thousands
# Marks that end a sentence even with no space after them; the last four: Hindi, Urdu and Arabic.
_STOPS = "。！？।॥۔؟"
_QUESTION_MARKS = frozenset("?？؟")
_AS_EMOJI = "\ufe0f"  # follows a character that is to be shown as an emoji, not as plain text
_FINISHED = frozenset(f".!?…{_STOPS})]}}>\"'”’`*|~）］｝〉》」』】")


def measure_texts(cells):
    """Measure cells.

    Parameters
    ----------
    cells : sequence of n_cells cells, each str, None, or a list or tuple of turns
        At most `MAX_TEXTS`.

    Returns
    -------
    values : dict of str to ndarray of shape (n_cells,) of float64
        The measures. A cell without text has 1 for `empty` and 0 for everything else.
    words : Words
        The words of the cells.
    """
    turns = [turns_of(cell) for cell in cells]
    filled = [[turn.strip() for turn in some if turn and not turn.isspace()] for some in turns]
    texts = [some[0] if len(some) == 1 else "\n\n".join(some) for some in filled]
    texts = [text.replace("\r\n", "\n") for text in texts]
    lower = [text.lower() for text in texts]
    lower = [text if text.isascii() else text.replace("’", "'") for text in lower]
    n_turns = np.array([len(some) for some in turns])
    n_filled = np.array([len(some) for some in filled])
    size = np.array([len(text) for text in texts])
    words, characters = Words(lower), Characters(texts)
    values = {
        "empty": 1 - n_filled / np.maximum(1, n_turns),
        "log_turns": np.log1p(n_filled),
        **_sizes(texts, size, words, characters),
        **_markdown(texts, characters),
        **_characters(texts, size, characters),
        **_wording(lower, words),
        "repeated_lines": _count_where(characters.number("\n") > 0, texts, _repeated_lines),
        **_ending(texts, lower, characters),
    }
    has_text = n_filled > 0
    values = {name: np.where(has_text, column, 0.0) for name, column in values.items()}
    values["empty"][~has_text] = 1.0
    return values, words


def _sizes(texts, size, words, characters):
    sentences = np.maximum(1, characters.sentence_ends() + characters.number(_STOPS))
    n_words = np.maximum(1, words.n_words)
    return {
        "log_characters": np.log1p(size),
        "log_words": np.log1p(words.n_words),
        "log_distinct_words": np.log1p(words.n_distinct),
        "log_sentences": np.log1p(sentences),
        "log_lines": np.log1p(characters.number("\n")),
        "log_paragraphs": np.log1p(characters.blank_lines() + 1),
        "log_long_words": np.log1p(words.n_distinct_long),
        "long_words": words.n_long / n_words,
        "word_length": np.minimum(_LONGEST, words.n_letters / n_words),
        "log_sentence_length": np.log1p(n_words / sentences),
        "type_token_ratio": words.n_distinct / n_words,
    }


def _markdown(texts, characters):
    number = characters.number
    blocks = _count_where(number("`") > 2, texts, lambda text: text.count(FENCE) // 2)
    coded = blocks > 0
    prose = ["\n" + (_CODE_BLOCK.sub("", t) if c else t) for t, c in zip(texts, coded, strict=True)]

    def found(pattern, possible):
        return np.log1p(_count_where(possible, prose, _found(pattern)))

    stars, underscores = number("*") > 3, number("_") > 3
    named = (number("]") > 0) & (number("(") > 0)
    bare = ~named & (number(":") > 0) & (number("/") > 1)
    links = _count_where(named, texts, _found(_LINK)) + _count_where(bare, texts, _schemes)
    return {
        "headers": found(_HEADER, number("#") > 0),
        "ordered_items": found(_ORDERED, coded | (characters.numbered() > 0)),
        "bullet_items": found(_BULLET, coded | (characters.marks() > 0)),
        "bold": found(_BOLD, stars & underscores)
        + found(_BOLD_STARS, stars & ~underscores)
        + found(_BOLD_UNDERSCORES, underscores & ~stars),
        "table_rows": found(_TABLE_ROW, number("|") > 1),
        "code_blocks": np.log1p(blocks),
        "inline_code": found(_INLINE_CODE, number("`") > 1),
        "links": np.log1p(links),
    }


def _schemes(text):
    return text.count("http://") + text.count("https://")


def _characters(texts, size, characters):
    number, size = characters.number, np.maximum(1, size)
    hyphens = _count_where(characters.hyphens() > 0, texts, lambda text: text.count(" - "))
    return {
        "digits": number("0123456789") / size,
        "non_ascii": characters.not_ascii() / size,
        "emoji": np.log1p(characters.emoji()),
        "questions": np.log1p(number(_QUESTION_MARKS)),
        "exclamations": np.log1p(number("!！")),
        "commas": number(",，、،") / size,
        "semicolons": np.log1p(number(";；؛")),
        "names": np.log1p(characters.names()),
        "quotes": np.log1p(number('"“«「『')),
        "parentheses": np.log1p(number("(（")),
        "dashes": np.log1p(hyphens + number("—–")),
    }


def _wording(lower, words):
    n_words = np.maximum(1, words.n_words)
    lists = ("first_person", "hedges", "function_words")
    shares = {name: words.number_in(name) / n_words for name in lists}
    phrases = {name: np.log1p(_phrases(lower, words, name)) for name in PHRASES}
    return shares | phrases


def _phrases(lower, words, name):
    total = np.zeros(len(lower))
    for stems, phrases in PHRASES[name]:
        if stems == NOT_ASCII:
            possible = np.array([not text.isascii() for text in lower])
        else:
            possible = np.any([words.any_begins_with(stem) for stem in stems.split()], axis=0)
        total += _count_where(possible, lower, lambda text, of=phrases: sum(map(text.count, of)))
    return total


def _repeated_lines(text):
    """Return the share of lines, of those with text, that repeat an earlier one, as loops do."""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    return 1 - len(set(lines)) / len(lines)


def _ending(texts, lower, characters):
    last = [text.removesuffix(_AS_EMOJI)[-1:] for text in texts]
    finished = np.array([character in _FINISHED or is_emoji(character) for character in last])
    odd = _count_where(characters.number("`") > 2, texts, lambda text: text.count(FENCE) % 2)
    long = _count_where(~finished, texts, lambda text: text.count(" ", text.rfind("\n") + 1) >= 7)
    return {
        "greets": np.array([_OPENING.match(text) is not None for text in lower]),
        "offers_more": np.array([any(map(text[-250:].__contains__, OFFERS)) for text in lower]),
        "ends_asking": np.array([character in _QUESTION_MARKS for character in last]),
        "finished": finished,
        "cut_off": (odd > 0) | (long > 0),
    }


def _found(pattern):
    return lambda text: len(pattern.findall(text))


def _count_where(possible, texts, count):
    """Count in the texts where there can be anything to count."""
    counts = np.zeros(len(texts))
    for i in np.flatnonzero(possible).tolist():
        counts[i] = count(texts[i])
    return counts
