"""Text to integers: the units (words or characters) that n-grams are made of."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer

from arena_estimators.feature_extraction._words import find_runs

# Thai to Lao, Myanmar, Khmer, kana and Chinese characters: no spaces stand between words.
_ALONE = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    r"\uff66-\uff9f\U00020000-\U0003ffff"
)
# Accents, and the vowels of Arabic and of the scripts of India, but not their full stops.
_MARKS = r"\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
# Each character of `_ALONE`, and runs of two or more other word characters, marks included.
MULTILINGUAL = rf"[{_ALONE}]|(?:(?![{_ALONE}])[\w{_MARKS}]){{2,}}"
# Token patterns that match whole runs of word characters, but for some runs of one character.
WORD_PATTERNS = (
    MULTILINGUAL,
    r"(?u)\b\w\w+\b",
    r"\b\w\w+\b",
    r"(?u)\b\w+\b",
    r"\b\w+\b",
    r"\w+",
)
_SPACES = re.compile(r"\s\s+")


@dataclass
class Units:
    """Segments of text as integers.

    `ids` are positions in `names` (distinct, in any order), segment after segment; `lengths` says
    how many belong to each segment. Segments are texts, unless `repeats`, of shape
    (n_texts, n_segments), says how often each text holds each segment.
    """

    names: list
    ids: np.ndarray
    lengths: np.ndarray
    repeats: sp.csc_array | None = None


def vectorizer_of(estimator, vocabulary=None):
    """Make a CountVectorizer with an estimator's parameters; its parts and its errors are used."""
    names = CountVectorizer().get_params().keys() & estimator.get_params().keys()
    parameters = {name: getattr(estimator, name) for name in names} | {"vocabulary": vocabulary}
    if estimator.analyzer == "multilingual":
        parameters |= {"analyzer": "word", "token_pattern": MULTILINGUAL}
    return CountVectorizer(**parameters)


def are_terms(vectorizer):
    """Tell whether the units must be whole n-grams: a pattern of the user's may match spaces."""
    return vectorizer.analyzer == "word" and vectorizer.token_pattern not in WORD_PATTERNS


def split(texts, vectorizer):
    """Find the units of texts as a CountVectorizer would."""
    if are_terms(vectorizer):
        return listed(texts, vectorizer.build_analyzer())
    texts = list(map(vectorizer.build_preprocessor(), texts))
    if vectorizer.analyzer == "char":
        return characters(texts)
    if vectorizer.analyzer == "char_wb":
        return characters_in_words(texts)
    return words(texts, vectorizer.token_pattern, vectorizer.get_stop_words() or ())


def split_names(names, vectorizer):
    """Find the units of n-grams."""
    if are_terms(vectorizer):
        return listed(names, lambda name: [name])
    if vectorizer.analyzer == "word":
        return listed(names, lambda name: name.split(" "))
    return listed(names, list)


def listed(texts, analyze):
    """Take as units the strings that `analyze` lists for each text."""
    names, ids, lengths = {}, [], []
    for text in texts:
        found = [names.setdefault(name, len(names)) for name in analyze(text)]
        ids.append(np.array(found, dtype=np.int32))
        lengths.append(len(found))
    ids = np.concatenate([np.empty(0, dtype=np.int32), *ids])
    return Units(list(names), ids, np.array(lengths, dtype=np.int64))


def words(texts, pattern, stop_words):
    """Take the runs of word characters, except stop words and single characters `pattern` drops."""
    kind = r"\w"
    if pattern == MULTILINGUAL:
        kind += _ALONE + _MARKS
        alone = re.compile(f"[{_ALONE}]")
        texts = [text if text.isascii() else alone.sub(r" \g<0> ", text) for text in texts]
    runs = _runs(texts, kind)
    match = re.compile(pattern).fullmatch
    dropped = {name for name in runs.names if len(name) == 1 and not match(name)}.union(stop_words)
    wanted = [name not in dropped for name in runs.names]
    kept = np.array(wanted, dtype=bool)[runs.ids]
    n_kept = np.concatenate([[0], np.cumsum(kept)])
    borders = np.concatenate([[0], np.cumsum(runs.lengths)])
    return Units(runs.names, runs.ids[kept], np.diff(n_kept[borders]))


def characters(texts):
    """Take all characters, runs of white space counting as one space."""
    return _characters([_SPACES.sub(" ", text) for text in texts])


def characters_in_words(texts):
    """Take the characters of each distinct word, with a space before and after."""
    runs = _runs(texts, r"\S")
    units = _characters([f" {name} " for name in runs.names])
    indptr = np.concatenate([[0], np.cumsum(runs.lengths)])
    ones = np.ones(len(runs.ids), dtype=np.float32)
    repeats = sp.csr_array((ones, runs.ids, indptr), shape=(len(texts), len(runs.names)))
    units.repeats = repeats.tocsc()
    units.repeats.sum_duplicates()
    return units


def _characters(texts):
    codes = "".join(texts).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(codes, dtype="<u4")
    present = np.zeros(0x110000, dtype=bool)
    present[codes] = True
    ids = (np.cumsum(present, dtype=np.int32) - 1)[codes]
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    return Units([chr(code) for code in np.flatnonzero(present)], ids, lengths)


def _runs(texts, kind):
    """Take the runs of characters of a kind as units."""
    runs = find_runs(texts, kind)
    lengths = runs.ends - runs.starts
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    data = np.frombuffer(runs.raw, dtype=np.uint8)[runs.inside]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    found = pa.Array.from_buffers(pa.binary(), len(lengths), buffers).dictionary_encode()
    names = [name.decode("utf-8", "surrogatepass") for name in found.dictionary.to_pylist()]
    ids = found.indices.to_numpy(zero_copy_only=False)
    return Units(names, ids, np.diff(runs.bounds))
