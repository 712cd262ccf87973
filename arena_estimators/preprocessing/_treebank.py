r"""NLTKWordTokenizer by parts: which rules are local, and what each part of a text becomes.

`NLTKWordTokenizer` rewrites a whole text with some thirty patterns and splits it at white space.
Nearly all of them match inside one *chunk* (a run without white space), so the tokens of a chunk
can be remembered. `keys_of` cuts a text into keys, `tokens_of` gives the tokens of keys. A key
is a chunk, or a part with a mark where a rule looks further. The rules that do:

- `^"` reads the start of the text and `[ (\[{<]("|'{2})` the plain space before a chunk. Only a
  chunk that begins with a quote behind other white space (mark `_BREAK` in front), or with two
  quotes at the start of the text (`_START`), can tell.
- `([^'])' ` reads the plain space behind a chunk: only a chunk that ends with `'` before other
  white space can tell (`_BREAK` behind).
- The final period, `.` and closing marks before the end of the text, splits the period off and
  leaves word and marks as if each stood alone, but for quotes, which are closing ones (`_CLOSE`).
  Marks in chunks of their own carry the rule to earlier chunks, and a final `'` or doubled `:` or
  `,` meets the end of the text: there the whole tail meets all rules (`_TAIL`, `_WHOLE`).
- Contractions (`gon|na`, `'t|is`) and `--` never cross white space.

What a chunk becomes is worked out here for nearly all: `_split` pads what always stands alone,
tells opening from closing double quotes by the character before, and takes suffixes ("'s", "n't")
off letters before a space. Other chunks with `'`, and those with contractions like "gonna",
meet all rules many at a time, between marks that no rule touches. A text that holds a mark or a
separator U+001C to U+001F, which patterns and `str.split` see differently, meets them whole. If
`rules_of` finds that NLTK's rules are no longer those proved here, every text is left to NLTK.
"""

import functools
import re
import zlib

import regex

_START, _BREAK, _CLOSE, _TAIL, _WHOLE, TOKEN = MARKS = "\1\2\3\4\5\6"
RESERVED = MARKS + "\x1c\x1d\x1e\x1f"
_RULES = 2876268422
_UNPADDED = 17
# Most rules change it, so that a `tokenize` which applies them in another way is noticed.
_PROBE = """"Go," ``said'' («he») -- 'tis $5: (it's; I'll... don't?! *gonna* "a–b" ‘d’ 'end.')"""

_CLOSING = ")]}>\"'»”’"
_NEEDS_CARE = frozenset(_CLOSING + ".:," + _BREAK)
# Quotes beside white space other than a space. The literal in front keeps the search fast.
_BESIDE_BREAK = [
    ("''", re.compile(r"''(?<=[^\S ]'')"), _BREAK + "''"),
    ('"', re.compile(r'"(?<=[^\S ]")'), _BREAK + '"'),
    ("'", re.compile(r"'(?=[^\S ])"), "'" + _BREAK),
]

# Chunks for `_split`: what opens, what becomes a token of its own, and what comes off the end.
_OPENING = re.compile(r'(?<=[\n(\[{<«“‘„`])"')
_PADDED = re.compile(
    r"([.\-`:,;@#$%&\u2012-\u2015?!*\]\[(){}<>«»„“”‘’]"
    r"(?:(?<![.\-`:,])|(?<=\.)\.+|(?<=-)-|(?<=`)`?|(?<=[:,])(?![0-9])))"
)
_SUFFIX = re.compile(r"(?<=[^' \n])('[sSmMdD]|'(?:ll|LL|re|RE|ve|VE)|n't|N'T)(?=[ \n])")
# NLTK's rule for these is one of `regex`, whose letters and word ends are not those of `re`.
_HAS_SUFFIX = regex.compile(r"[^\W_]'(?:[sSmMdDtT]|ll|LL|re|RE|ve|VE)\b").search
# What is left to all rules.
_ENTANGLED = re.compile(r"[:,][:,\x80-\U0010ffff]").search
_CONTRACTED = re.compile(r"[cCgGlLwW](?i:annot|imme|onna|otta|emme|anna)").search
_BATCH = 2_000


def rules_of(tokenizer):
    """Give the rules of an NLTKWordTokenizer as strings, for processes that do not import NLTK.

    Returns
    -------
    tuple of tuples (str, str, int, str) or None
        Module, pattern, flags and replacement of each rule in order, the first `_UNPADDED` of
        them for a text without a space at its ends. None if rules or order are not those whose
        locality is proved here.
    """
    contractions = tokenizer.CONTRACTIONS2 + tokenizer.CONTRACTIONS3
    pairs = [
        *tokenizer.STARTING_QUOTES,
        *tokenizer.PUNCTUATION,
        tokenizer.PARENS_BRACKETS,
        tokenizer.DOUBLE_DASHES,
        *tokenizer.ENDING_QUOTES,
        *((rule, r" \1 \2 ") for rule in contractions),
    ]
    rules = tuple(
        ("re" if isinstance(rule, re.Pattern) else "regex", rule.pattern, rule.flags, replacement)
        for rule, replacement in pairs
    )
    if zlib.crc32(repr(rules).encode()) != _RULES:
        return None
    return rules if tokenizer_of(rules)(_PROBE) == tokenizer.tokenize(_PROBE) else None


@functools.cache
def known_rules():
    """Give the rules of the installed NLTK, None if they are not known."""
    from nltk.tokenize import NLTKWordTokenizer

    return rules_of(NLTKWordTokenizer())


def tokenizer_of(rules):
    """Give a function that does what `NLTKWordTokenizer().tokenize` does, from `rules_of` it."""
    engines = {"re": re, "regex": regex}
    compiled = [(engines[name].compile(rule, flags), new) for name, rule, flags, new in rules]
    before, after = compiled[:_UNPADDED], compiled[_UNPADDED:]

    def tokenize(text):
        for rule, replacement in before:
            text = rule.sub(replacement, text)
        text = f" {text} "
        for rule, replacement in after:
            text = rule.sub(replacement, text)
        return text.split()

    return tokenize


def keys_of(text):
    """Give the keys of one text, or of one sentence, as a list."""
    chunks = (_marked(text) if '"' in text or "'" in text else text).split()
    if not chunks:
        return chunks
    last = chunks[-1]
    end = last[-1]
    if end not in _NEEDS_CARE or (end == "." and last[-2:-1] in (".", "")):
        return chunks
    if end == ".":
        chunks[-1] = last[:-1]
        chunks.append(".")
        return chunks
    return _with_tail(text, chunks)


def _marked(text):
    """Mark the chunks whose quotes do not stand beside a plain space."""
    start = _START if text.startswith(('""', "\"''", "''")) else ""
    for quote, beside_break, marked in _BESIDE_BREAK:
        if quote in text:
            text = beside_break.sub(marked, text)
    return start + text


def _with_tail(text, chunks):
    """Give the keys of a text that ends with a closing mark, a colon or a comma."""
    raw = text.split()
    last = raw[-1]
    word = last.rstrip(_CLOSING)
    if word[-1:] == "." and word[-2:-1] not in (".", ""):
        mark = chunks[-1][0] if chunks[-1][0] in MARKS else ""
        return [*chunks[:-1], mark + word[:-1], _CLOSE + last[len(word) - 1 :]]
    if word and word[-1] != "." and last[-1] != "'" and last[-2:-1] not in (":", ","):
        return chunks
    parts = 1
    while parts < len(raw) and not raw[-parts].rstrip(_CLOSING):
        parts += 1
    if parts == len(raw):
        return [_WHOLE + text]
    return [*chunks[:-parts], _TAIL + text[len(text.rsplit(None, parts)[0]) :]]


def tokens_of(keys, tokenize):
    """Give the tokens of keys.

    Parameters
    ----------
    keys : iterable of str
        What `keys_of` gives.
    tokenize : callable
        What `NLTKWordTokenizer().tokenize` does.

    Returns
    -------
    dict of str to str
        The tokens of each key, joined by spaces.
    """
    tokens, plain, suffixed, left = {}, [], [], []
    for key in keys:
        if key.isalnum() and not _CONTRACTED(key):
            tokens[key] = key
        elif key[0] in MARKS and key[0] != _BREAK:
            tokens[key] = _tokens_at_edge(key[0], key[1:], tokenize)
        elif _ENTANGLED(key) or _CONTRACTED(key):
            left.append(key)
        elif "'" not in key:
            plain.append(key)
        elif key.count("'") == 1 and _HAS_SUFFIX(key):
            suffixed.append(key)
        else:
            left.append(key)
    tokens.update(zip(plain, _split(plain).split("\n"), strict=bool(plain)))
    lines = _SUFFIX.sub(r" \1", _split(suffixed) + "\n").split("\n")
    tokens.update(zip(suffixed, lines, strict=False))
    for first in range(0, len(left), _BATCH):
        batch = left[first : first + _BATCH]
        found = tokenize(_BREAK + "".join(map(_between_breaks, batch)))
        lines = " ".join(found)[2:-2].split(f" {_BREAK} ")
        tokens.update(zip(batch, lines, strict=True))
    return tokens


def _split(chunks):
    """Give the tokens of chunks without `'`, or with a suffix still on, a line for each chunk."""
    text = "\n" + "\n".join(chunks)
    if '"' in text:
        text = _OPENING.sub(" `` ", text).replace('"', " '' ").replace(_BREAK, "")
    return " ".join(_PADDED.split(text))[1:]


def _between_breaks(key):
    before = "\n" if key[0] == _BREAK else " "
    after = "\n" if key[-1] == _BREAK else " "
    return before + key.strip(_BREAK) + after + _BREAK


def _tokens_at_edge(mark, part, tokenize):
    if mark == _WHOLE:
        found = tokenize(part)
    elif mark == _START:
        found = tokenize(part.rstrip(_BREAK) + ("\nx" if part[-1] == _BREAK else " x"))[:-1]
    else:
        found = tokenize("x" + part)[1:]
    return " ".join(found)
