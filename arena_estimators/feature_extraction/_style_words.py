"""The words of many texts as numbers, so that NumPy can count and compare them."""

import functools
from hashlib import blake2b
from itertools import chain

import numpy as np

from arena_estimators.feature_extraction._style_lexicon import PHRASES, WORD_LISTS
from arena_estimators.feature_extraction._words import find_runs

MAX_TEXTS = 1000  # a text's number fits the upper 10 bits of a key
_CODE_BITS = 54
_LONG = 8
_BLOB = 512  # bytes of a word that are mixed 8 at a time: the rest of a longer one at once
_FIRST_BYTES = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype=np.uint64)
_BIT = {name: bit for bit, name in enumerate(WORD_LISTS)}
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, without a pattern: 2 ** 64 / golden ratio


class Words:
    """The words of up to `MAX_TEXTS` texts.

    A word's code is 53 bits of a hash and one bit that says whether it is long. Among a hundred
    different words, two share a code in one of some 10 ** 12 texts. A key has the number of a text
    in its upper bits and a code below; `keys` holds each word of each text once, sorted.

    Parameters
    ----------
    texts : list of str
        In lower case.

    Attributes
    ----------
    n_words, n_letters, n_long : ndarray of shape (n_texts,)
        Words, characters in words, and words of eight characters or more.
    n_distinct, n_distinct_long : ndarray of shape (n_texts,)
        The same, each word counted once.
    """

    def __init__(self, texts):
        runs = find_runs(texts)
        letters, first, codes = _read(runs)
        bounds = runs.bounds
        self.n_words = np.diff(bounds)
        self.n_letters = _sums(letters, bounds)
        self.n_long = _sums(letters >= _LONG, bounds)
        text = np.repeat(np.arange(len(texts), dtype=np.uint64), self.n_words)
        stems = np.flatnonzero(_may_be_stem()[first & 0xFFFF])
        self._stems, self._stem_texts = first[stems], text[stems].astype(np.intp)
        keys = np.sort(text << np.uint64(_CODE_BITS) | codes)
        new = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
        self._counts = np.diff(new, append=len(keys))
        self.keys = keys[new]
        self._ends = _first_keys(self.keys, len(texts) + 1)
        self.n_distinct = np.diff(self._ends)
        self.n_distinct_long = _sums(self.keys & np.uint64(1), self._ends)

    @functools.cached_property
    def _lists(self):
        """Bits that say in which word lists each of `keys` is."""
        codes = self.keys & np.uint64((1 << _CODE_BITS) - 1)
        listed, bits = _listed()
        nearest = np.minimum(np.searchsorted(listed, codes), len(listed) - 1)
        return np.where(listed[nearest] == codes, bits[nearest], 0)

    def number_in(self, name):
        """Count the words of each text that are in the word list `name`."""
        return _sums(self._counts * (self._lists >> _BIT[name] & 1), self._ends)

    def distinct_in(self, name):
        """Count the words of each text that are in the word list `name`, each once."""
        return _sums(self._lists >> _BIT[name] & 1, self._ends)

    def meets(self, name):
        """Say of each text whether one of its words is in the word list `name`."""
        return (self._met >> _BIT[name] & 1) > 0

    @functools.cached_property
    def _met(self):
        met = np.bitwise_or.reduceat(np.append(self._lists, 0), self._ends[:-1])
        return np.where(self.n_distinct > 0, met, 0)

    def any_begins_with(self, stem):
        """Say of each text whether one of its words begins with `stem`, one of `PHRASES`."""
        stem = _stem_bytes(stem)
        found = (self._stems & _FIRST_BYTES[len(stem)]) == int.from_bytes(stem, "little")
        texts = np.zeros(len(self.n_words), dtype=bool)
        texts[self._stem_texts[np.flatnonzero(found)]] = True
        return texts

    def shared(self, ours, theirs, without=None):
        """Count the distinct words that two texts share.

        Parameters
        ----------
        ours, theirs : ndarray of shape (n_pairs,)
            Numbers of the texts. It is fast where `ours` are the shorter ones.
        without : str, optional
            The name of a word list whose words do not count.
        """
        sizes = self.n_distinct[ours]
        ends = np.concatenate([[0], np.cumsum(sizes)])
        at = np.repeat(self._ends[:-1][ours] - ends[:-1], sizes) + np.arange(ends[-1])
        change = (theirs - ours).astype(np.int64) << _CODE_BITS
        wanted = self.keys[at] + np.repeat(change, sizes).view(np.uint64)
        place = np.minimum(np.searchsorted(self.keys, wanted), max(0, len(self.keys) - 1))
        found = self.keys[place] == wanted
        if without is not None:
            found &= (self._lists[at] >> _BIT[without] & 1) == 0
        return _sums(found, ends)


def _read(runs):
    """Find the words' numbers of characters, their first 8 bytes and their codes."""
    raw, starts, ends = runs.raw, runs.starts, runs.ends
    lengths = letters = ends - starts
    if not raw.isascii():
        later_bytes = np.flatnonzero((np.frombuffer(raw, dtype=np.uint8) & 0xC0) == 0x80)
        words = np.searchsorted(starts, later_bytes, side="right") - 1
        letters = lengths - np.bincount(words, minlength=len(starts))
    eight = np.ndarray(len(raw) - 7, dtype="<u8", buffer=raw, strides=(1,))
    first = eight[starts] & _FIRST_BYTES[np.minimum(lengths, 8)]
    codes = _mix(first)
    more, done = np.flatnonzero(lengths > 8), 8
    while len(more) and done < _BLOB:
        left = np.minimum(lengths[more] - done, 8)
        codes[more] = _mix(codes[more] ^ eight[starts[more] + done] & _FIRST_BYTES[left])
        done += 8
        more = more[lengths[more] > done]
    for word in more.tolist():
        rest = raw[starts[word] + done : ends[word]]
        codes[word] ^= np.frombuffer(blake2b(rest, digest_size=8).digest(), np.uint64)[0]
    codes = codes >> np.uint64(64 - _CODE_BITS) & ~np.uint64(1) | (letters >= _LONG)
    return letters, first, codes


def _stem_bytes(stem):
    return stem.encode()[:8]


@functools.cache
def _listed():
    """Give the codes of all words of the lists, sorted, and the bits of their lists."""
    words = sorted(set().union(*(text.split() for text in WORD_LISTS.values())))
    bits = [sum(1 << _BIT[n] for n, text in WORD_LISTS.items() if w in text.split()) for w in words]
    codes = _read(find_runs(words))[-1]
    order = np.argsort(codes)
    return codes[order], np.array(bits)[order]


@functools.cache
def _may_be_stem():
    """Make a table that says, for a word's first two bytes as a number, if a stem begins so."""
    table = np.zeros((256, 256), dtype=bool)
    for stems, _ in chain.from_iterable(PHRASES.values()):
        for stem in map(_stem_bytes, stems.split()):
            table[stem[1] if len(stem) > 1 else slice(None), stem[0]] = True
    return table.ravel()


def _mix(numbers):
    numbers = numbers * _FACTOR
    return numbers ^ numbers >> np.uint64(32)


def _first_keys(keys, n_texts):
    return np.searchsorted(keys, np.arange(n_texts, dtype=np.uint64) << np.uint64(_CODE_BITS))


def _sums(values, bounds):
    """Sum values between neighbouring bounds; nothing between equal ones."""
    return np.diff(np.concatenate([[0], np.cumsum(values, dtype=np.int64)])[bounds])
