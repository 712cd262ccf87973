"""NLTKCleaner: tokens, stop words and lemmas as NLTK gives them, fast and offline."""

from bisect import bisect_left
from itertools import accumulate, chain, pairwise
from numbers import Integral

from joblib import Parallel, delayed, effective_n_jobs
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from arena_estimators._frames import like
from arena_estimators._validation import (
    Interval,
    ReadsBattles,
    StrOptions,
    fit_context,
    validate_battles,
)
from arena_estimators.battles import COLUMNS, texts
from arena_estimators.exceptions import ArenaError
from arena_estimators.preprocessing import _engine, _treebank, _words

_WORTH_A_PROCESS = 5_000_000  # characters: with fewer, sending them takes longer than cleaning


class NLTKCleaner(ReadsBattles, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Tokenise, drop stop words and lemmatise the texts of battles as NLTK does.

    Each text becomes what this line makes of it, except that punctuation is dropped unless
    `keep_punctuation=True`::

        " ".join(lemmatize(word) for word in tokenize(text.lower()) if word not in stop_words)

    with NLTK's own tokens and lemmas, many times faster and without downloading anything: chunks
    of text are remembered, and English stop words and WordNet 3.0's lemmas come with the package.

    Cleaning removes what votes depend on most: length, layout, casing and punctuation. A pipeline
    that reads style must read it from the raw text (`PairStyleFeatures`), and an encoder wants raw
    text too. Before a vectorizer, cleaning merges inflected forms and makes the vocabulary smaller;
    that helps if memory is short or a workflow that cleans is to be kept, but seldom lowers the log
    loss.
    In front of `make_arena_pipeline("linear")` it raised the log loss of 14,165 battles, in five
    folds grouped by prompt, by 0.021 (95 % interval 0.016 to 0.026), and that of joined TF-IDF with
    LogisticRegression from 1.094 to 1.102 (`benchmarks/bench_quality.py`).

    Parameters
    ----------
    columns : list or tuple of str, default=("prompt", "response_a", "response_b")
        The columns to clean. All others are passed on untouched.
    lowercase : bool, default=True
        Lower-case a text before it is tokenised, as the line above does. Punkt then sees no
        capitals, which it would use to find sentence ends.
    tokenizer : {"treebank", "punkt", "tweet"}, default="treebank"
        `"treebank"` is `NLTKWordTokenizer` on the whole text and needs no data. `"punkt"` is
        `word_tokenize`, which first splits the text into English sentences, for which NLTK's data
        must hold `punkt_tab`.
        `"tweet"` is `TweetTokenizer`; it needs no data, is not accelerated, and takes quadratic
        time on long runs of digits.
    stop_words : str, list of str or None, default="english"
        Tokens to drop. English comes with the package, any other language of NLTK's stop words
        from the user's NLTK data, read in `fit`. Words are compared with tokens, which are
        lower-case if `lowercase`; all tokenizers but `"tweet"` split "don't" into "do" and "n't".
    lemmatize : {"n", "v", "a", "r", "any"} or None, default="n"
        The part of speech for `WordNetLemmatizer`: noun, verb, adjective or adverb. `"any"` takes
        the shortest of the four lemmas or, of equally short ones, the first in that order.
    keep_punctuation : bool, default=False
        Whether to keep tokens without any letter or digit. The line above keeps them.
    n_jobs : int, default=None
        Number of processes, as in joblib. Each gets five million characters or more, so with fewer
        than ten million, everything is cleaned in this one.

    Attributes
    ----------
    feature_names_in_ : ndarray of shape (n_columns,)
        The columns that are cleaned, in the order of the frame.
    n_features_in_ : int
        Their number.

    Raises
    ------
    ArenaError
        If no columns are named, if `columns` or `stop_words` hold something other than text, or if
        the language is unknown.
    BattlesError, LabelsError
        If a column to clean, or `y`, breaks the data contract.
    ResourceNotFoundError
        If `"punkt"`, or a language other than English, needs NLTK data that is not there.

    See Also
    --------
    PairStyleFeatures : What cleaning removes, as features.

    References
    ----------
    Bird, Klein and Loper (2009), Natural Language Processing with Python, https://www.nltk.org.
    Princeton University (2010), WordNet, https://wordnet.princeton.edu.

    Examples
    --------
    >>> import pandas as pd
    >>> from arena_estimators import NLTKCleaner
    >>> X = pd.DataFrame({
    ...     "prompt": ["Which animals have wings?"],
    ...     "response_a": ["**Geese** and butterflies do."],
    ...     "response_b": [["It's a bird's privilege...", None]],
    ... })
    >>> cleaned = NLTKCleaner().fit_transform(X)
    >>> cleaned.loc[0].tolist()
    ['animal wing', 'goose butterfly', ["'s bird 's privilege", None]]
    """

    _parameter_constraints = {
        "columns": [list, tuple],
        "lowercase": ["boolean"],
        "tokenizer": [StrOptions(set(_engine.TOKENIZERS))],
        "stop_words": [str, list, tuple, set, frozenset, None],
        "lemmatize": [StrOptions({*_words.PARTS_OF_SPEECH, "any"}), None],
        "keep_punctuation": ["boolean"],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
    }

    def __init__(
        self,
        *,
        columns=COLUMNS,
        lowercase=True,
        tokenizer="treebank",
        stop_words="english",
        lemmatize="n",
        keep_punctuation=False,
        n_jobs=None,
    ):
        self.columns = columns
        self.lowercase = lowercase
        self.tokenizer = tokenizer
        self.stop_words = stop_words
        self.lemmatize = lemmatize
        self.keep_punctuation = keep_punctuation
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check parameters, battles and language resources; nothing is learnt.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,), optional
            Labels. They are checked to be the arena's, and not used.

        Returns
        -------
        NLTKCleaner
        """
        _engine.engine(*self._settings())
        validate_battles(self, X, y, columns=tuple(self.columns))
        # Where the estimator is loaded, NLTK may lack this language's words, or have others.
        other = isinstance(self.stop_words, str) and self.stop_words != "english"
        self._of_fit = (self.stop_words, _words.stop_words(self.stop_words)) if other else None
        self._names_out = X.columns.to_numpy(dtype=object)
        return self

    def transform(self, X):
        """Clean the texts of battles.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        DataFrame of shape (n_battles, n_columns)
            A new frame with the same columns, index and turns. Cleaned text is tokens joined by
            spaces; empty texts stay empty and missing ones missing. A list of turns stays a list:
            for scikit-learn's vectorizers, `arena_estimators.battles.texts` joins the turns of a
            column.
        """
        check_is_fitted(self)
        self._validate_params()  # nothing was learnt, so they may have been set since
        settings = self._settings()
        columns = tuple(dict.fromkeys(self.columns))
        validate_battles(self, X, columns=columns, reset=False)
        cleaned = _clean_columns([X[name].tolist() for name in columns], settings, self.n_jobs)
        result = X.copy()
        for name, cells in zip(columns, cleaned, strict=True):
            result[name] = like(X[name], cells)
        return result

    def get_feature_names_out(self, input_features=None):
        """Give the names of all columns of the frame seen in `fit`, cleaned or not.

        A frame with columns other than the texts is returned with them.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of shape (n_columns,) of object
        """
        check_is_fitted(self)
        return self._names_out.copy()

    def set_output(self, *, transform=None):
        """Accept scikit-learn's choice of output; it is a pandas DataFrame in any case.

        Parameters
        ----------
        transform : {"default", "pandas"} or None, default=None

        Returns
        -------
        NLTKCleaner

        Raises
        ------
        ArenaError
            On "polars".
        """
        if transform not in ("default", "pandas", None):
            raise ArenaError(f"NLTKCleaner gives pandas DataFrames, not {transform!r}.")
        return self

    def _settings(self):
        """Return what `engine` takes."""
        for name in ("columns", "stop_words"):
            words = getattr(self, name)
            if not isinstance(words, str | None) and not all(isinstance(w, str) for w in words):
                raise ArenaError(f"{name} must hold text only, got {words!r}.")
        if not self.columns:
            raise ArenaError(f"columns is empty; name what to clean, by default {COLUMNS}.")
        return (
            self.tokenizer,
            self._stop_words(),
            self.lemmatize,
            self.keep_punctuation,
            self.lowercase,
            _treebank.known_rules(),
        )

    def _stop_words(self):
        """Return the stop words, of a language those of the fit."""
        of_fit = self.__dict__.get("_of_fit")
        if of_fit and of_fit[0] == self.stop_words:
            return of_fit[1]
        return _words.stop_words(self.stop_words)


def _clean_columns(columns, settings, n_jobs=None):
    """Clean the cells of columns, lists of equal length, with `settings` as `engine` takes them.

    Battles are sorted by the first column, by default the prompt, so that those with the same
    prompt stay together: they share words, and a process remembers only what it has cleaned itself.
    """
    order = sorted(range(len(columns[0])), key=texts(columns[0]).__getitem__)
    battles = zip(*(map(cells.__getitem__, order) for cells in columns), strict=True)
    turns = list(chain.from_iterable(map(_turns, chain.from_iterable(battles))))
    cleaned = iter(_clean(turns, settings, n_jobs))
    result = list(map(list, columns))
    for battle in order:
        for cells in result:
            cells[battle] = _filled(cells[battle], cleaned)
    return result


def _turns(cell):
    """Give the texts of a cell: the cell itself, or those of its turns that are not missing."""
    if isinstance(cell, str):
        return (cell,)
    return [text for text in cell if text is not None] if isinstance(cell, list | tuple) else ()


def _filled(cell, cleaned):
    """Give a cell whose texts are replaced by the next ones of `cleaned`."""
    if isinstance(cell, str):
        return next(cleaned)
    if isinstance(cell, list | tuple):
        turns = [None if text is None else next(cleaned) for text in cell]
        return turns if isinstance(cell, list) else tuple(turns)
    return cell


def _clean(turns, settings, n_jobs):
    """Clean texts in this process or, if they are enough to be worth it, in several others."""
    ends = list(accumulate(map(len, turns), initial=0))
    n_chunks = min(effective_n_jobs(n_jobs), ends[-1] // _WORTH_A_PROCESS)
    if n_chunks < 2:
        return _engine.clean_texts(turns, settings)
    cuts = [bisect_left(ends, ends[-1] * part // n_chunks) for part in range(n_chunks)]
    chunks = [turns[start:stop] for start, stop in pairwise([*cuts, len(turns)])]
    folders = _engine.data_folders(settings)
    tasks = (delayed(_engine.clean_texts)(chunk, settings, folders) for chunk in chunks)
    return list(chain.from_iterable(Parallel(n_jobs=n_chunks, batch_size=1)(tasks)))
