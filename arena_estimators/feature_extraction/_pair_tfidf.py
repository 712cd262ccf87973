"""TF-IDF features of battles over one vocabulary for both responses."""

from itertools import chain
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted

from arena_estimators._validation import (
    Interval,
    Options,
    ReadsBattles,
    StrOptions,
    fit_context,
    validate_battles,
)
from arena_estimators.battles import COLUMNS, PROMPT, RESPONSE_A, RESPONSE_B, texts
from arena_estimators.exceptions import ArenaError
from arena_estimators.feature_extraction import _units
from arena_estimators.feature_extraction._vocabulary import Vocabulary

_BLOCKS = {
    "difference": ("difference",),
    "difference+absolute": ("difference", "absolute"),
    "separate": COLUMNS,
    "joined": ("joined",),
}
# Battles analysed at a time. Larger chunks meet fewer names again, and words have many names.
_CHUNKS = {"word": 1000, "multilingual": 1000, "char": 500, "char_wb": 500}
_SWITCHES = ("sublinear_tf", "use_idf", "smooth_idf", "lowercase", "binary")
_NUMBER = Interval(Integral, 1, None, closed="left")
_SHARE_OR_NUMBER = [Interval(Real, 0, 1, closed="both"), _NUMBER]


class PairTfidfVectorizer(
    ReadsBattles, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    r"""TF-IDF of the responses of battles over one vocabulary, most often as their difference.

    The result is that of :class:`~sklearn.feature_extraction.text.TfidfVectorizer` fitted to all of
    `response_a` followed by all of `response_b`, with the rows of the two then subtracted or put
    side by side, but computed several times faster: n-grams are counted as integers. The turns of a
    cell are joined by an empty line.

    Parameters
    ----------
    combine : {"difference", "difference+absolute", "separate", "joined"}, default="difference"
        What becomes of a battle:

        - `"difference"`: a - b. Swapping the responses negates it exactly.
        - `"difference+absolute"`: a - b and abs(a - b), side by side.
        - `"separate"`: prompt, a and b side by side, the prompts being part of the vocabulary.
        - `"joined"`: one text of prompt, a and b, with empty lines between.
    analyzer : {"word", "multilingual", "char", "char_wb"}, default="word"
        Whether n-grams are made of words, of characters, or of characters within words. To "word",
        a whole clause is one word in scripts without spaces between words, as in Chinese, Japanese
        and Thai; "multilingual" takes each of their characters as a word, keeps vowel signs and
        accents within the words of other scripts, and ignores `token_pattern`.
    ngram_range : tuple (min_n, max_n), default=(1, 1)
        The shortest and the longest n-grams.
    max_features : int, default=None
        Keep only that many features, the most frequent ones.
    min_df : float in [0, 1] or int, default=1
        Drop n-grams found in fewer texts than this (a share or a number). Each response is a text
        and, with "separate", each prompt too; with "joined", each battle is one.
    max_df : float in [0, 1] or int, default=1.0
        Drop n-grams found in more texts than this.
    sublinear_tf : bool, default=False
        Replace a count by 1 + log(count).
    use_idf : bool, default=True
        Weigh by the inverse document frequency.
    smooth_idf : bool, default=True
        Add one to document frequencies.
    norm : {"l1", "l2"} or None, default="l2"
        The norm that each text's row is scaled to.
    binary : bool, default=False
        Count an n-gram at most once in a text.
    lowercase : bool, default=True
        Convert the text to lower case first.
    strip_accents : {"ascii", "unicode"} or None, default=None
        Remove accents.
    token_pattern : str, default=r"(?u)\\b\\w\\w+\\b"
        The regular expression of a word. The default, ``r"(?u)\b\w+\b"``, which keeps words of one
        character, and ``r"\w+"`` are fast; most others are as slow as scikit-learn.
    stop_words : {"english"}, list of str or None, default=None
        Words to drop.
    vocabulary : mapping or iterable of str, default=None
        The n-grams to use, instead of those of the text.
    dtype : {float32, float64}, default=float32
        Type of the result.
    n_jobs : int, default=None
        Number of threads, as in joblib; None means one.

    Attributes
    ----------
    vocabulary_ : dict
        N-grams to columns of a block. Made on each access.
    idf_ : ndarray of shape (n_ngrams,) or None
        Inverse document frequencies of the columns of a block; None without `use_idf`.
    fixed_vocabulary_ : bool
        Whether the vocabulary was given.
    ngrams_ : Vocabulary
        The vocabulary as integers.
    n_features_in_ : int
        Number of columns read.
    feature_names_in_ : ndarray of str
        Names of these columns.

    Raises
    ------
    BattlesError, LabelsError
        If `X` or `y` break the data contract.
    ArenaError
        If the texts have no n-grams, `ngram_range` starts below 1, or the limits leave no n-grams.

    See Also
    --------
    PairStyleFeatures : What a response looks like, in a few named columns.
    sklearn.feature_extraction.text.TfidfVectorizer : The same for single texts.

    Examples
    --------
    >>> import pandas as pd
    >>> from arena_estimators import PairTfidfVectorizer, swap
    >>> X = pd.DataFrame(
    ...     {
    ...         "prompt": ["Hi", "2+2?"],
    ...         "response_a": ["Hello there", "It is four"],
    ...         "response_b": ["Go away", "It is five"],
    ...     }
    ... )
    >>> vectorizer = PairTfidfVectorizer()
    >>> D = vectorizer.fit_transform(X)
    >>> D.shape
    (2, 8)
    >>> vectorizer.get_feature_names_out()[:3].tolist()
    ['difference__away', 'difference__five', 'difference__four']
    >>> bool((vectorizer.transform(swap(X)) != -D).nnz)
    False
    """

    _parameter_constraints = {
        "combine": [StrOptions(set(_BLOCKS))],
        "dtype": [Options(type, {np.float32, np.float64}), StrOptions({"float32", "float64"})],
        "n_jobs": [Integral, None],
        **dict.fromkeys(_SWITCHES, ["boolean"]),
        "norm": [StrOptions({"l1", "l2"}), None],
        "analyzer": [StrOptions(set(_CHUNKS))],
        "strip_accents": [StrOptions({"ascii", "unicode"}), None],
        "token_pattern": [str],
        "ngram_range": [tuple],
        "stop_words": [StrOptions({"english"}), list, None],
        "max_features": [_NUMBER, None],
        "min_df": _SHARE_OR_NUMBER,
        "max_df": _SHARE_OR_NUMBER,
    }

    def __init__(
        self,
        combine="difference",
        *,
        analyzer="word",
        ngram_range=(1, 1),
        max_features=None,
        min_df=1,
        max_df=1.0,
        sublinear_tf=False,
        use_idf=True,
        smooth_idf=True,
        norm="l2",
        binary=False,
        lowercase=True,
        strip_accents=None,
        token_pattern=r"(?u)\b\w\w+\b",
        stop_words=None,
        vocabulary=None,
        dtype=np.float32,
        n_jobs=None,
    ):
        self.combine = combine
        self.analyzer = analyzer
        self.ngram_range = ngram_range
        self.max_features = max_features
        self.min_df = min_df
        self.max_df = max_df
        self.sublinear_tf = sublinear_tf
        self.use_idf = use_idf
        self.smooth_idf = smooth_idf
        self.norm = norm
        self.binary = binary
        self.lowercase = lowercase
        self.strip_accents = strip_accents
        self.token_pattern = token_pattern
        self.stop_words = stop_words
        self.vocabulary = vocabulary
        self.dtype = dtype
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Learn the vocabulary and the document frequencies.

        Parameters
        ----------
        X : DataFrame of battles
        y : array-like of shape (n_battles,), optional
            Labels. They must be the arena's, but are not used.

        Returns
        -------
        self
        """
        self.fit_transform(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Learn the vocabulary and transform the same battles, reading the text once.

        Parameters
        ----------
        X : DataFrame of battles
        y : array-like of shape (n_battles,), optional
            Labels. They must be the arena's, but are not used.

        Returns
        -------
        sparse matrix of shape (n_battles, n_features)
            In CSR format.
        """
        validate_battles(self, X, y)
        given = self._check_parameters()
        segments = self._call(self._split, _chunks(X, _CHUNKS[self.analyzer]))
        ngrams, walks = self._learn(segments) if given is None else self._look_up(segments, given)
        columns = ngrams.columns, ngrams.n_columns
        counts = self._call(lambda walk: walk.matrix(*columns), _drain(walks))
        ngrams.prune()
        idf = self._idf(counts) if self.use_idf else None
        # Together: an interrupted fit must not leave n-grams with the frequencies of others.
        self.ngrams_, self.idf_, self.fixed_vocabulary_ = ngrams, idf, given is not None
        return sp.vstack(self._call(self._combine, _drain(counts)), format="csr")

    def transform(self, X):
        """Transform battles with what was learned.

        Parameters
        ----------
        X : DataFrame of battles

        Returns
        -------
        sparse matrix of shape (n_battles, n_features)
            In CSR format.
        """
        check_is_fitted(self, "ngrams_")
        self._validate_params()  # `combine` may have been set since
        validate_battles(self, X, reset=False)

        def rows(battles):
            walk = self.ngrams_.walk(self._split(battles))
            return self._combine(walk.matrix(self.ngrams_.columns, self.ngrams_.n_columns))

        return sp.vstack(self._call(rows, _chunks(X, _CHUNKS[self.analyzer])), format="csr")

    def get_feature_names_out(self, input_features=None):
        """Name the columns: the block, two underscores, the n-gram.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str objects
        """
        check_is_fitted(self, "ngrams_")
        names = self.ngrams_.names()
        return np.concatenate([f"{block}__" + names for block in _BLOCKS[self.combine]])

    def set_output(self, *, transform=None):
        """Accept scikit-learn's choice of output where it leaves the result sparse.

        Parameters
        ----------
        transform : {"default"} or None, default=None

        Returns
        -------
        self

        Raises
        ------
        ArenaError
            On "pandas" and "polars". What is set by `sklearn.set_config` is ignored.
        """
        if transform not in ("default", None):
            raise ArenaError(
                f"PairTfidfVectorizer gives a sparse matrix, which cannot be {transform!r} output."
            )
        return self

    @property
    def vocabulary_(self):
        """N-grams to columns of a block."""
        check_is_fitted(self, "ngrams_")
        return {name: column for column, name in enumerate(self.ngrams_.names().tolist())}

    def _check_parameters(self):
        """Let scikit-learn check and warn; give the n-grams of the vocabulary, if there is one."""
        vectorizer = _units.vectorizer_of(
            self, [""] if self.vocabulary is None else self.vocabulary
        )
        columns = vectorizer.fit([""]).vocabulary_
        if min(self.ngram_range) < 1:
            raise ArenaError(f"ngram_range={self.ngram_range}: the shortest n-grams have length 1.")
        return None if self.vocabulary is None else sorted(columns, key=columns.get)

    def _texts(self, X):
        """List responses a, then b, then prompts if "separate"; if "joined", whole battles."""
        if self.combine == "joined":
            columns = (texts(X[name].tolist()) for name in COLUMNS)
            return ["\n\n".join(battle) for battle in zip(*columns, strict=True)]
        names = [RESPONSE_A, RESPONSE_B, PROMPT][: 3 if self.combine == "separate" else 2]
        return list(chain.from_iterable(texts(X[name].tolist()) for name in names))

    def _split(self, X):
        return _units.split(self._texts(X), _units.vectorizer_of(self))

    def _learn(self, segments):
        """Make a vocabulary of all n-grams within the limits."""
        names = sorted(set().union(*(part.names for part in segments)))
        ngrams = Vocabulary(names, _units.vectorizer_of(self))
        walks = self._call(ngrams.start, _drain(segments))
        ngrams.learn(walks, self._call)
        n_texts = sum(walk.n_texts for walk in walks)
        ngrams.select(
            walks,
            min_df=self.min_df if isinstance(self.min_df, Integral) else self.min_df * n_texts,
            max_df=self.max_df if isinstance(self.max_df, Integral) else self.max_df * n_texts,
            max_features=self.max_features,
            dtype=self.dtype,
            binary=self.binary,
        )
        return ngrams, walks

    def _look_up(self, segments, names):
        """Make a vocabulary of given n-grams."""
        units = _units.split_names(names, _units.vectorizer_of(self))
        ngrams = Vocabulary(units.names, _units.vectorizer_of(self))
        ngrams.assign(units)
        return ngrams, self._call(ngrams.walk, _drain(segments))

    def _idf(self, counts):
        """Compute the inverse document frequencies as TfidfTransformer does, in the same type."""
        df = sum(np.bincount(part.indices, minlength=part.shape[1]) for part in counts)
        df = df.astype(self.dtype) + self.smooth_idf
        n_texts = sum(part.shape[0] for part in counts) + self.smooth_idf
        return np.log(np.full_like(df, n_texts) / df) + df.dtype.type(1)

    def _combine(self, counts):
        """Weight the counts of texts, and combine them into one row per battle."""
        rows = sp.csr_matrix(counts).astype(self.dtype, copy=False)
        if self.binary:
            rows.data.fill(1)
        if self.sublinear_tf:
            rows.data = np.log(rows.data) + 1
        if self.idf_ is not None:
            rows.data *= self.idf_[rows.indices]
        if self.norm is not None and rows.shape[0]:
            rows = normalize(rows, norm=self.norm, copy=False)
        if self.combine == "joined":
            return rows
        n = rows.shape[0] // (3 if self.combine == "separate" else 2)
        a, b, prompts = rows[:n], rows[n : 2 * n], rows[2 * n :]
        if self.combine == "separate":
            return sp.hstack([prompts, a, b], format="csr")
        difference = a - b
        if self.combine == "difference":
            return difference
        return sp.hstack([difference, abs(difference)], format="csr")

    def _call(self, function, items):
        parallel = Parallel(n_jobs=self.n_jobs, require="sharedmem")
        return parallel(delayed(function)(item) for item in items)


def _drain(items):
    """Yield the items of a list and forget them, so that what is used up needs no memory."""
    while items:
        yield items.pop(0)


def _chunks(X, size):
    """Cut battles to frames that keep NumPy busy and need little memory; at least one."""
    return [X.iloc[i : i + size] for i in range(0, max(len(X), 1), size)]
