"""A wrapper that keeps what a transformer makes on disk, for searches over what follows it."""

import hashlib
import json
import os
import pickle

import joblib
from sklearn import get_config
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils._set_output import _safe_set_output
from sklearn.utils.validation import check_is_fitted

from arena_estimators._files import writable_memory
from arena_estimators._validation import (
    HasMethods,
    ReadsBattles,
    fit_context,
    this_version,
    validate_battles,
)
from arena_estimators.battles import COLUMNS
from arena_estimators.exceptions import ArenaError

_CELLS = 100  # hashed at a time: the JSON of a whole column would take several times its memory


class CachedTransformer(ReadsBattles, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Make each distinct feature matrix once, however often it is asked for.

    In a search over the parameters of a classifier, all candidates share the same features.
    `Pipeline(memory=...)` keeps those of the training battles, but makes those of the test
    battles anew for every candidate; this keeps both.

    Parameters
    ----------
    transformer : estimator
        A transformer of battles, such as all steps of a pipeline but the last.
    memory : str, path-like or :class:`joblib.Memory`, optional
        The folder to keep the matrices in; `~` is the home folder. It may be shared by processes,
        but only by people who trust each other: it holds pickles, which run code when read (what
        :class:`PairEmbeddings` and :class:`BertPairClassifier` keep in folders does not). With
        None, nothing is kept. `joblib.Memory(folder, verbose=0).clear()` empties the folder, and
        `.reduce_size("4G")` deletes what was not used for longest.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer.
    n_features_in_ : int
        The number of text columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names.

    Raises
    ------
    ArenaError
        If the folder cannot be made or written, or the transformer cannot be pickled.
    BattlesError, LabelsError
        If `X` or `y` break the data contract.

    Notes
    -----
    A matrix is looked up by the battles (all columns of `X` and its index), `y`, the transformer's
    parameters and the version of this library. A transformer's code does not count, nor do files
    that a parameter names, such as an encoder's: after a change to either, clear the folder.

    A pickle does not keep the cache: a fitted pipeline that is loaded again writes no files when it
    predicts.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from arena_estimators import (
    ...     CachedTransformer, PromptGroupKFold, make_arena_pipeline, make_battles)
    >>> data = make_battles(60, random_state=0)
    >>> linear = make_arena_pipeline("linear")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = make_pipeline(CachedTransformer(linear[:-1], memory=folder), linear[-1])
    ...     search = GridSearchCV(
    ...         model, {"davidsonclassifier__alpha": [0.01, 0.1]}, cv=PromptGroupKFold(2),
    ...         scoring="neg_log_loss").fit(data.X, data.y)
    >>> len(search.cv_results_["params"])
    2
    """

    _parameter_constraints = {
        "transformer": [HasMethods(["fit", "transform"])],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
    }

    def __init__(self, transformer, *, memory=None):
        self.transformer = transformer
        self.memory = memory

    def fit(self, X, y=None):
        """Fit the transformer.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,), optional
            Handed to the transformer.

        Returns
        -------
        self
        """
        self.fit_transform(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X, y=None):
        """Fit the transformer and transform the battles, or take both from the folder.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,), optional
            Handed to the transformer.

        Returns
        -------
        {array, sparse matrix} of shape (n_battles, n_features_out)
        """
        validate_battles(self, X, y)
        memory = self.check_settings()
        transformer = clone(self.transformer)
        key = memory and _hash((this_version(), transformer, _digest(X), y))
        features, transformer = self._keep(memory, _fit_transform, transformer, X, y, key)
        # All at once: after a failed fit, the new key must not be used with the old transformer.
        self._memory, self._key, self.transformer_ = memory, key, transformer
        return features

    def transform(self, X):
        """Transform battles, or take the result from the folder.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        {array, sparse matrix} of shape (n_battles, n_features_out)
        """
        check_is_fitted(self)
        validate_battles(self, X, reset=False)
        key = self._memory and (self._key, _digest(X), getattr(self, "_output", None))
        return self._keep(self._memory, _transform, self.transformer_, X, key)

    def get_feature_names_out(self, input_features=None):
        """Name the columns as the transformer does.

        Parameters
        ----------
        input_features : None
            Not used.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        return self.transformer_.get_feature_names_out()

    def set_output(self, *, transform=None):
        """Set the output of the transformer.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None

        Returns
        -------
        self
        """
        for transformer in (self.transformer, getattr(self, "transformer_", None)):
            if transformer is not None:
                _safe_set_output(transformer, transform=transform)
        self._output = transform or getattr(self, "_output", None)
        return self

    def check_settings(self):
        """Refuse settings that cannot work on this machine, before anything is computed.

        Returns
        -------
        joblib.Memory or None
        """
        return writable_memory(self.memory)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "transformer_")

    def _keep(self, memory, function, *arguments):
        if memory is None:
            return function(*arguments)
        ignored = ["transformer", "X", "y"] if function is _fit_transform else ["transformer", "X"]
        return memory.cache(function, ignore=ignored)(*arguments)

    def __getstate__(self):
        state = super().__getstate__()
        return {**state, "_memory": None} if "_memory" in state else state


def _fit_transform(transformer, X, y, key):
    if hasattr(transformer, "fit_transform"):
        return transformer.fit_transform(X, y), transformer
    return transformer.fit(X, y).transform(X), transformer


def _transform(transformer, X, key):
    return transformer.transform(X)


def _hash(made_of):
    try:
        return joblib.hash(made_of)
    except pickle.PicklingError as error:
        raise ArenaError(
            "The transformer cannot be told from others, because it cannot be pickled. A function "
            "in it must have a name at the top of a module: no lambda."
        ) from error


def _digest(X):
    """Hash all columns (texts many times faster than joblib would), index and kind of output."""
    output = get_config()["transform_output"]
    digest = hashlib.blake2b(f"{output} {joblib.hash(X.index)}".encode())
    for column, cells in X.items():
        values = cells.tolist()
        if column in COLUMNS:
            digest.update(repr((column, str(cells.dtype))).encode())
            for start in range(0, len(values), _CELLS):
                digest.update(_text_key(values[start : start + _CELLS]))
        else:
            values = (column, str(cells.dtype), values)
            # The dtype holds categories, which its name does not tell.
            digest.update(joblib.hash((values, cells.dtype)).encode())
    return digest.hexdigest()


def _text_key(cells):
    """Write cells of text or turns, and which of them are tuples, as bytes."""
    tuples = [place for place, cell in enumerate(cells) if isinstance(cell, tuple)]
    # What JSON cannot write, such as pd.NA, becomes a dict, which no cell is. Characters beyond
    # ASCII stay as they are: escaped, two lone surrogates would equal the character they could be.
    key = json.dumps((cells, tuples), default=lambda cell: {"": str(cell)}, ensure_ascii=False)
    return key.encode("utf-8", "surrogatepass")
