"""N-grams counted as integers; none becomes a string unless somebody asks for its name.

The n-grams of length n are level n of a trie: sorted integers `prefix * n_units + unit`, where
`prefix` is the place, in level n - 1, of the n-gram without its last unit. All n-grams of a level
are found by sorting such integers for all positions of the text at once.
"""

import numpy as np
import scipy.sparse as sp

UNKNOWN, END = -1, -2
_BITS = 63


def group(keys):
    """Sort integers, none negative.

    Returns
    -------
    order : ndarray
        Where the sorted keys come from; equal keys keep their order.
    distinct : ndarray
        The distinct keys, sorted.
    begins : ndarray
        Where each distinct key begins in `order`.
    """
    bits = len(keys).bit_length()
    if int(keys.max(initial=0)).bit_length() + bits <= _BITS:  # sorting is faster than argsorting
        packed = keys.astype(np.int64) << bits
        packed |= np.arange(len(keys))
        packed.sort()
        order = (packed & ((1 << bits) - 1)).astype(np.int32)
        keys = packed
        keys >>= bits
    else:
        order = np.argsort(keys, kind="stable").astype(np.int32)
        keys = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    begins = np.flatnonzero(is_first).astype(np.int32)
    return order, keys[begins], begins


class Walk:
    """The n-grams of some text, extended step by step from length n to length n + 1.

    Parameters
    ----------
    text : Units
    known : dict
        Units to integers; no n-gram contains a unit that is not in it.
    ngram_range : tuple of int
    count_short : bool
        Count a segment shorter than `ngram_range[0]` as one n-gram.
    """

    def __init__(self, text, known, ngram_range, count_short):
        self.n_units, self.repeats = len(known), text.repeats
        self.ngram_range, self.count_short = ngram_range, count_short
        lengths = text.lengths + 1
        is_unit = np.ones(lengths.sum(), dtype=bool)
        is_unit[np.cumsum(lengths) - 1] = False
        lookup = [known.get(name, UNKNOWN) for name in text.names]
        self.units = np.full(len(is_unit), END, dtype=np.int32)
        self.units[is_unit] = np.array(lookup, dtype=np.int32)[text.ids]
        self.segments = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        self.n_segments = len(lengths)
        self.n_texts = len(lengths) if text.repeats is None else text.repeats.shape[0]
        # The n-gram at places[i] of level n begins at positions[i] of the text.
        self.positions = np.flatnonzero(is_unit).astype(np.int32)
        self.places = np.zeros(len(self.positions), dtype=np.int32)
        self.found, self.counts = [], []

    def extend(self):
        """Add a unit to every n-gram and return the distinct results."""
        units = self.units[self.positions + len(self.found)]
        known = units >= 0
        self.positions = self.positions[known]
        keys = self.places[known].astype(np.int64)
        keys *= self.n_units
        keys += units[known]
        self.order, self.distinct, self.begins = group(keys)
        return self.distinct

    def count(self, level):
        """Count the n-grams, find their places in the trie's level, and forget unknown ones."""
        places = np.searchsorted(level, self.distinct).astype(np.int32)
        places[places == len(level)] = 0
        places[level[places] != self.distinct] = UNKNOWN
        self.found.append(places)
        self.counts.append(self._count())
        if len(self.found) == self.ngram_range[1]:
            self.finish()
            return
        self.places = np.empty(len(self.order), dtype=np.int32)
        self.places[self.order] = np.repeat(places, np.diff(self.begins, append=len(self.order)))
        known = self.places >= 0
        self.positions, self.places = self.positions[known], self.places[known]
        self.order = self.distinct = self.begins = None

    def finish(self):
        """Forget the text; what was found in it is all that is needed."""
        self.units = self.segments = self.positions = self.places = None
        self.order = self.distinct = self.begins = None

    def _count(self):
        n = len(self.found)
        positions = self.positions[self.order]
        counted = np.ones(len(positions), dtype=np.float32)
        if n < self.ngram_range[0]:
            whole = (self.units[positions - 1] == END) & (self.units[positions + n] == END)
            counted *= whole & self.count_short
        indptr = np.append(self.begins, np.int32(len(positions)))
        shape = (self.n_segments, len(self.begins))
        counts = sp.csc_array((counted, self.segments[positions], indptr), shape=shape)
        counts.sum_duplicates()
        if n < self.ngram_range[0]:
            counts.eliminate_zeros()
        return counts if self.repeats is None else self.repeats @ counts

    def matrix(self, columns, n_columns):
        """Give the counts of the n-grams that have a column, as CSR with sorted indices."""
        columns = [
            np.where(places >= 0, level[places], -1)
            for level, places in zip(columns, self.found, strict=False)
        ]
        columns = np.concatenate([np.empty(0, dtype=np.int32), *columns])
        kept = group(columns + 1)[0][np.count_nonzero(columns < 0) :]
        counts = sp.hstack([sp.csc_array((self.n_texts, 0)), *self.counts], format="csc")
        self.counts.clear()
        counts = counts[:, kept]
        counts = counts.tocsr()
        counts = (counts.data, columns[kept][counts.indices], counts.indptr)
        return sp.csr_array(counts, shape=(self.n_texts, n_columns))
