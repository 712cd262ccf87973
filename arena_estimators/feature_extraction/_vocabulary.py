"""Which n-grams are features: learned from text, or given by the user."""

import numpy as np

from arena_estimators.exceptions import ArenaError
from arena_estimators.feature_extraction._ngrams import Walk
from arena_estimators.feature_extraction._units import MULTILINGUAL, are_terms

_TOO_FEW = "the battles may be too few for that. Lower min_df, or give more battles."


class Vocabulary:
    """N-grams and the column of each.

    Parameters
    ----------
    units : iterable of str
        What n-grams are made of, in sorted order if n-grams are to be learned.
    vectorizer : CountVectorizer
        Says what n-grams to look for.

    Attributes
    ----------
    joiner : str
        What stands between the units of an n-gram in its name.
    takes_clauses : bool
        Whether text without spaces between words is taken for one word.
    ngram_range : tuple of int
    count_short : bool
        Whether a segment shorter than `ngram_range[0]` counts as one n-gram.
    known : dict
        Units to integers.
    levels : list of ndarray of int64
        The trie; see `_ngrams`.
    columns : list of ndarray of int32
        The column of each n-gram of each level, -1 if it is only the beginning of others.
    n_columns : int
    """

    def __init__(self, units, vectorizer):
        self.joiner = " " if vectorizer.analyzer == "word" else ""
        self.takes_clauses = bool(self.joiner) and vectorizer.token_pattern != MULTILINGUAL
        self.ngram_range = (1, 1) if are_terms(vectorizer) else vectorizer.ngram_range
        self.count_short = vectorizer.analyzer == "char_wb"
        self.known = {unit: i for i, unit in enumerate(units)}
        self.levels, self.columns, self.n_columns = [], [], 0

    def start(self, text):
        """Begin a walk through the n-grams of some text."""
        return Walk(text, self.known, self.ngram_range, self.count_short)

    def walk(self, text):
        """Find the known n-grams of some text."""
        walk = self.start(text)
        for level in self.levels[: self.ngram_range[1]]:
            walk.extend()
            walk.count(level)
        walk.finish()
        return walk

    def learn(self, walks, call=map):
        """Find all n-grams of walks that just started, level by level."""
        for _ in range(walks[0].ngram_range[1]):
            level = np.concatenate(list(call(Walk.extend, walks)))
            level.sort()  # np.unique hashes integers first, which takes ten times as long
            level = level[np.append(True, level[1:] != level[:-1])[: len(level)]]
            if not len(level):
                break
            list(call(lambda walk, level=level: walk.count(level), walks))
            self.levels.append(level)
        for walk in walks:
            walk.finish()

    def select(self, walks, *, min_df, max_df, max_features, dtype, binary):
        """Give columns to the n-grams that the limits leave, in the order of their names."""
        ranks = self._ranks()
        rank_of = np.concatenate([np.empty(0, np.int64), *ranks])
        df = np.zeros(len(rank_of), dtype=np.int64)
        tf = np.zeros(len(rank_of), dtype=np.float64)
        for walk in walks:
            for rank, places, counts in zip(ranks, walk.found, walk.counts, strict=True):
                df[rank[places]] += np.diff(counts.indptr)
                if max_features is not None:
                    tf[rank[places]] += counts.sum(axis=0)
        if not df.any():
            raise ArenaError("empty vocabulary; perhaps the documents only contain stop words")
        if max_df < min_df:
            error = ArenaError("max_df corresponds to < documents than min_df")
            error.add_note(
                f"Words must be in {min_df:g} texts at least and in {max_df:g} at most: {_TOO_FEW}"
            )
            raise error
        kept = (df > 0) & (df >= min_df) & (df <= max_df)
        if max_features is not None and np.count_nonzero(kept) > max_features:
            # As scikit-learn: its sort is not stable, so type and order decide between equals.
            frequencies = (df if binary else tf).astype(dtype)[kept]
            kept = np.flatnonzero(kept)[(-frequencies).argsort()[:max_features]]
            kept = np.isin(np.arange(len(df)), kept)
        if not kept.any():
            error = ArenaError(
                "After pruning, no terms remain. Try a lower min_df or a higher max_df."
            )
            if df.max() < min_df:
                error.add_note(
                    f"The commonest is in {df.max()} texts, and min_df asks for {min_df:g}: "
                    f"{_TOO_FEW}"
                )
            if self.takes_clauses:
                error.add_note(
                    "Or, for text without spaces between words, such as Chinese: "
                    "analyzer='multilingual' or 'char_wb' reads characters, instead of whole "
                    "clauses as single words that seldom recur."
                )
            raise error
        columns = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        self.columns = [columns[rank] for rank in ranks]
        self.n_columns = int(np.count_nonzero(kept))

    def assign(self, text):
        """Give the columns 0, 1, 2, ... to the n-grams that are whole segments, in their order."""
        longest = int(text.lengths.max(initial=0))
        walk = Walk(text, self.known, (longest + 1, longest), count_short=True)
        self.learn([walk])
        for level, counts in zip(self.levels, walk.counts, strict=True):
            whole = counts.tocoo()
            columns = np.full(len(level), -1, dtype=np.int32)
            columns[whole.col] = whole.row
            self.columns.append(columns)
        self.n_columns = len(text.lengths)

    def prune(self):
        """Forget the units and n-grams that no column needs."""
        n_units = len(self.known)
        needed = [columns >= 0 for columns in self.columns]
        for n in range(len(self.levels) - 1, 0, -1):
            needed[n - 1][self.levels[n][needed[n]] // n_units] = True
        needed = [kept for kept in needed if kept.any()]
        levels = [level[kept] for level, kept in zip(self.levels, needed, strict=False)]
        used = np.zeros(n_units, dtype=bool)
        for level in levels:
            used[level % n_units] = True
        unit_of, place_of, self.levels = np.cumsum(used) - 1, np.zeros(1, dtype=np.int64), []
        for level, kept in zip(levels, needed, strict=True):
            keys = place_of[level // n_units] * np.count_nonzero(used) + unit_of[level % n_units]
            self.levels.append(keys)
            place_of = np.cumsum(kept) - 1
        self.columns = [columns[kept] for columns, kept in zip(self.columns, needed, strict=False)]
        names = [name for name, is_used in zip(self.known, used, strict=True) if is_used]
        self.known = {name: i for i, name in enumerate(names)}

    def names(self):
        """Make the names of the columns."""
        names = np.full(self.n_columns, "", dtype=object)
        units, prefixes = list(self.known), [""]
        for level, columns in zip(self.levels, self.columns, strict=True):
            pairs = zip(*(part.tolist() for part in np.divmod(level, len(units))), strict=True)
            prefixes = [prefixes[prefix] + units[unit] for prefix, unit in pairs]
            kept = columns >= 0
            names[columns[kept]] = np.array(prefixes, dtype=object)[kept]
            prefixes = [name + self.joiner for name in prefixes]
        return names

    def _ranks(self):
        """Rank the n-grams of all levels by name: a beginning first, then what continues it."""
        prefixes = [level // len(self.known) for level in self.levels]
        sizes = [np.ones(len(level), dtype=np.int64) for level in self.levels]
        for n in range(len(sizes) - 1, 0, -1):
            np.add.at(sizes[n - 1], prefixes[n], sizes[n])
        ranks, parents = [], np.full(1, -1)
        for prefix, size in zip(prefixes, sizes, strict=True):
            before = np.cumsum(size) - size
            is_first = np.diff(prefix, prepend=-1) > 0
            siblings = before - np.maximum.accumulate(np.where(is_first, before, 0))
            parents = parents[prefix] + 1 + siblings
            ranks.append(parents)
        return ranks
