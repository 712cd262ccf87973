r"""NLTKWordTokenizer by parts: which rules are local, and what each part of a text becomes.

`NLTKWordTokenizer` rewrites a whole text with some thirty patterns and splits it at white space.
Nearly all of them match inside one *chunk* (a run without white space), so the tokens of a chunk
can be remembered. `keys_of` cuts a text into keys, `tokens_of` gives the tokens of keys. A key
is a chunk or, where a rule looks beyond it, a part of the text with a mark. The rules that do so:

- `^"` reads the start of the text and `[ (\[{<]("|'{2})` the plain space before a chunk. Only a
  chunk that begins with a quote behind other white space (mark `_BREAK` in front), or with two
  quotes at the start of the text (`_START`), can tell.
- `([^'])' ` reads the plain space behind a chunk: only a chunk that ends with `'` before other
  white space can tell (`_BREAK` behind).
- The rule for the final period (`.` and closing marks before the end of the text) splits it off and
  leaves word and marks as if each stood alone, except that quotes are closing ones (`_CLOSE`).
  Marks in chunks of their own carry the rule to earlier chunks, and a final `'` or doubled `:` or
  `,` meets the end of the text: there the whole tail meets all rules (`_TAIL`, `_WHOLE`).
- Contractions (`gon|na`, `'t|is`) and `--` never cross white space.

What a chunk becomes is worked out here for nearly all: `_PADDED` finds what always stands alone,
opening double quotes are told from closing ones by the character before, opening single ones are
set off and suffixes ("'s", "n't") taken off what stands before a space. Chunks with `''` or `'s'`,
with both `'` and a mark, with a contraction like "gonna", and those in which `:` or `,` stands
before another or before a character that is not ASCII meet all rules, between marks that no rule
touches. A text that holds a mark, or a separator U+001C to U+001F, which patterns and `str.split`
see differently, meets all rules as a whole. If `rules_of` finds that NLTK's rules are no longer
those proved here, every text is left to NLTK.
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

# In a chunk: what opens, what becomes a token of its own, and what comes off the end.
_OPENING = re.compile(r'(?<=[\n(\[{<«“‘„`])"')
_PADDED = re.compile(
    r"([.\-`:,;@#$%&\u2012-\u2015?!*\]\[(){}<>«»„“”‘’]"
    r"(?:(?<![.\-`:,])|(?<=\.)\.+|(?<=-)-|(?<=`)`?|(?<=[:,])(?![0-9])))"
)
# NLTK's rule for opening single quotes is one of `regex`, whose letters are not those of `re`.
_LEADING = regex.compile(r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", regex.IGNORECASE)
_SHORT_SUFFIX = re.compile(r"(?<=[^' \n])('[sSmMdD]?)(?=[ \n])")
_LONG_SUFFIX = re.compile(r"(?<=[^' \n])('(?:ll|LL|re|RE|ve|VE)|n't|N'T)(?=[ \n])")
# What is left to all rules.
_RULED = r"[:,][:,\x80-\U0010ffff]|[cCgGlLwW](?i:annot|imme|onna|otta|emme|anna)"
_NEEDS_RULES = re.compile(rf"{_RULED}|'[sSmMdD]?'|(?i:d'ye|more'n|'tis|'twas)").search
_TANGLED = re.compile(rf"""['"{MARKS}]|{_RULED}""").search


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
    """Make, from what `rules_of` gave, a function like `NLTKWordTokenizer().tokenize`."""
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


def tokens_of(key, tokenize):
    """Give the tokens of a key as a list, empty strings among them.

    `tokenize` does what `NLTKWordTokenizer().tokenize` does.
    """
    if not _TANGLED(key):
        return _PADDED.split(key)
    mark = key[0]
    if mark == TOKEN:
        return [key[1:]]
    if mark in MARKS and mark != _BREAK:
        return _tokens_at_edge(mark, key[1:], tokenize)
    single = "'" in key
    if _NEEDS_RULES(key) or (single and _BREAK in key):
        return tokenize(_between_breaks(key))[1:-1]
    text = "\n" + key
    if single:
        text = _LEADING.sub("' ", text[:-1] + " '" if key[-1] == "'" else text)
    if '"' in key:
        text = _OPENING.sub(" `` ", text).replace('"', " '' ").replace(_BREAK, "")
    text = " ".join(_PADDED.split(text))
    if single:
        text = _LONG_SUFFIX.sub(r" \1", _SHORT_SUFFIX.sub(r" \1", text + "\n"))
    return text.split()


def _between_breaks(key):
    before = "\n" if key[0] == _BREAK else " "
    after = "\n" if key[-1] == _BREAK else " "
    return _BREAK + before + key.strip(_BREAK) + after + _BREAK


def _tokens_at_edge(mark, part, tokenize):
    if mark == _WHOLE:
        return tokenize(part)
    if mark == _START:
        return tokenize(part.rstrip(_BREAK) + ("\nx" if part[-1] == _BREAK else " x"))[:-1]
    return tokenize("x" + part)[1:]
