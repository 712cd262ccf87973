"""The Davidson model of paired comparisons with ties, on one odd feature matrix."""

import threading
from numbers import Integral, Real

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.sparse import issparse
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, check_X_y, validate_data
from threadpoolctl import threadpool_limits

from arena_estimators._frames import is_frame, names_of
from arena_estimators._probability import davidson_logits, to_proba
from arena_estimators._tags import declare_tags
from arena_estimators._validation import (
    Interval,
    StrOptions,
    check_no_label_missing,
    check_some_weight,
    fit_context,
)
from arena_estimators.battles import CLASSES, COLUMNS, check_labels
from arena_estimators.exceptions import ArenaError, BattlesError, warn

_VARIANCE = 2.0  # of the strength gap of an average battle, under the prior of alpha="auto"
_FEW = 40  # battles; a column that is not zero in so many counts half


class DavidsonClassifier(ClassifierMixin, BaseEstimator):
    """Bradley-Terry-Davidson regression of who wins, or whether it is a tie.

    It reads one odd matrix D, whose rows change sign when the two sides are exchanged. With the
    strength gap `d = D @ w` and the tie term `t = abs(D) @ v + c`, the probabilities of model_a,
    model_b and tie are proportional to `exp(d / 2)`, `exp(-d / 2)` and `exp(t)`. The fit minimises
    the weighted mean of the log loss plus `alpha / 2 * w @ w + tie_alpha / 2 * v @ v`. Because gap
    and tie term come from one matrix, `predict_proba(-D)` is `predict_proba(D)` with the first two
    columns exchanged, bit for bit.

    Parameters
    ----------
    alpha : float or "auto", default="auto"
        Strength of the penalty on `coef_`. It is a normal prior of the weights, and under that of
        "auto" the strength gap of an average battle has the variance 2, whatever the number of
        battles, of columns, and the scale of `X`. A column counts in that average by the share
        `m / (m + 40)`, where m is the number of battles in which it is not zero: rare words say
        little of new battles. With sample weights, a battle of weight 2 counts as two, so "auto"
        needs weights with a mean near one.
    tie_alpha : float or "auto", default="auto"
        Strength of the penalty on `tie_coef_`. "auto" is ten times what it is for `alpha`.
    fit_intercept : bool, default=True
        Whether the tie term has a constant `c`. The strength gap never has one: that would prefer
        a side.
    max_iter : int, default=500
        The maximum number of iterations of L-BFGS.
    tol : float, default=3e-4
        Stop when no component of the gradient, divided by the square root of the curvature it meets
        at zero, is larger than this. Rounding may end the search earlier: float32 features seldom
        reach 1e-5.
    warm_start : bool, default=False
        Start from the solution of the last call of `fit`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The sorted labels: side a, side b and, with three classes, tie.
    coef_ : ndarray of shape (n_features,)
        The weights `w` of the strength gap.
    tie_coef_ : ndarray of shape (n_features,)
        The weights `v` of the tie term; zeros with two classes.
    tie_intercept_ : float
        The constant `c` of the tie term; minus infinity with two classes, where no tie can be.
    n_iter_ : int
        The iterations that were made.
    n_features_in_ : int
        The number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        The names of the features, when `X` was a frame.

    Raises
    ------
    BattlesError
        If `X` is a frame of battles, not of features of them.
    LabelsError
        If a label is missing, if labels of the arena lack model_a or model_b or stand beside others
        ("tie" may be the last of any three in sorted order), or if soft labels are not valid.
    ArenaError
        If there are fewer than two or more than three classes, if features are so large that the
        fit overflows, or if `warm_start` meets other features or classes than the last fit.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` ends the search.
    ArenaWarning
        If "auto" meets sample weights whose mean is far below one, or a tie does not sort last.

    See Also
    --------
    arena_estimators.PairTfidfVectorizer : Sparse odd features of texts.
    arena_estimators.PairStyleFeatures : Dense odd features of texts.

    Notes
    -----
    The matrix is not centred, since that would destroy its symmetry. Scale its columns with
    `StandardScaler(with_mean=False)` or `MaxAbsScaler()`.

    References
    ----------
    .. [1] R. R. Davidson, "On extending the Bradley-Terry model to accommodate ties in paired
       comparison experiments", JASA 65 (1970), 317-328.
    .. [2] R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs: I. The method
       of paired comparisons", Biometrika 39 (1952), 324-345.

    Examples
    --------
    >>> import numpy as np
    >>> from arena_estimators import DavidsonClassifier
    >>> D = np.array([[1.0], [-1.0], [0.1], [2.0], [-2.0], [0.0]])
    >>> y = ["model_a", "model_b", "tie", "model_a", "model_b", "tie"]
    >>> model = DavidsonClassifier().fit(D, y)
    >>> model.predict([[1.5], [-1.5], [0.05]]).tolist()
    ['model_a', 'model_b', 'tie']
    """

    _parameter_constraints = {
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "tie_alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        alpha="auto",
        *,
        tie_alpha="auto",
        fit_intercept=True,
        max_iter=500,
        tol=3e-4,
        warm_start=False,
    ):
        self.alpha = alpha
        self.tie_alpha = tie_alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_battles, n_features)
            Odd features, the matrix `D`.
        y : array-like of shape (n_battles,), (n_battles, 3) or (n_battles, 2)
            Labels, or soft labels: the probabilities of a, b and tie.
        sample_weight : array-like of shape (n_battles,), optional
            Weights of the battles.

        Returns
        -------
        self
        """
        _refuse_battles(X)
        soft = np.asarray(y).ndim == 2 and np.asarray(y).shape[1] > 1
        soft_labels = check_labels(y) if soft else None
        if y is not None:  # if it is, check_X_y raises the error
            check_no_label_missing(y, "y")
        D, checked = check_X_y(
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            multi_output=soft,
            estimator=self,
        )
        classes, Y = soft_labels or _one_hot(checked)
        weight = _check_sample_weight(sample_weight, D, dtype=np.float64, ensure_non_negative=True)
        check_some_weight(weight)
        total = weight.sum()
        if "auto" in (self.alpha, self.tie_alpha) and total < np.count_nonzero(weight) / 10:
            warn(
                f"The sample weights of {np.count_nonzero(weight)} battles sum to {total:.4g}, and "
                "'auto' takes that for the number of battles: almost nothing will be learnt. "
                "Divide the weights by their mean."
            )
        start = self._start(D.shape[1], classes)
        with np.errstate(over="ignore", invalid="ignore"):  # an overflow is reported below
            auto = _automatic_alpha(D, weight) if "auto" in (self.alpha, self.tie_alpha) else None
            alpha = auto if self.alpha == "auto" else self.alpha
            tie_alpha = 10 * auto if self.tie_alpha == "auto" else self.tie_alpha
            loss = _DavidsonLoss(D, Y, weight / total, alpha, tie_alpha, self.fit_intercept)
            solution, n_iter, converged = loss.minimise(start, self.max_iter, self.tol)
        if not np.isfinite(solution).all():
            raise ArenaError(
                "The fit overflowed: the features are too large. Scale them, for example with "
                "StandardScaler(with_mean=False)."
            )
        coef, tie_coef, tie_intercept = loss.split(solution)
        # All at once: a fit that fails leaves the model as it was.
        validate_data(self, X, skip_check_array=True)
        self.classes_, self.n_iter_ = classes, n_iter
        self.coef_, self.tie_coef_, self.tie_intercept_ = coef, tie_coef, tie_intercept
        if not converged:
            warn(
                f"No convergence after {self.n_iter_} iterations. Scale the features "
                "(StandardScaler(with_mean=False)), raise alpha, or raise max_iter.",
                ConvergenceWarning,
            )
        return self

    def decision_function(self, X):
        """Compute the logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_battles, n_features)
            Odd features.

        Returns
        -------
        ndarray of shape (n_battles, 3) or (n_battles,)
            `(d/2, -d/2, t)`; with two classes `-d`, which is positive where side b is favoured.
        """
        check_is_fitted(self)
        d, t = self._gap_and_tie(X)
        return -d if t is None else davidson_logits(d, t)

    def predict_proba(self, X):
        """Compute the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_battles, n_features)
            Odd features.

        Returns
        -------
        ndarray of shape (n_battles, n_classes) of float64
        """
        check_is_fitted(self)
        return to_proba(davidson_logits(*self._gap_and_tie(X)))

    def predict(self, X):
        """Give the most probable class of each battle.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_battles, n_features)
            Odd features.

        Returns
        -------
        ndarray of shape (n_battles,)
        """
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _gap_and_tie(self, X):
        _refuse_battles(X)
        D = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        ties = len(self.classes_) == 3
        tie = _absolute(D) @ self.tie_coef_ + self.tie_intercept_ if ties else None
        return D @ self.coef_, tie

    def _start(self, n_features, classes):
        if self.warm_start and hasattr(self, "coef_"):
            if len(self.coef_) != n_features or not np.array_equal(self.classes_, classes):
                raise ArenaError(
                    "warm_start=True, but the features or classes differ from the last fit; use "
                    "a clone or warm_start=False."
                )
            intercept = self.tie_intercept_ if len(classes) == 3 and self.fit_intercept else 0.0
            return np.concatenate([self.coef_, self.tie_coef_, [intercept]])
        return np.zeros(2 * n_features + 1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.poor_score = True
        return declare_tags(tags, soft_labels=True, numeric=True)


def _refuse_battles(X):
    if is_frame(X) and set(COLUMNS) <= set(names_of(X)):
        raise BattlesError(
            "X holds battles, and DavidsonClassifier reads odd features of them. Take "
            "make_arena_pipeline(), or put PairTfidfVectorizer() before it in a pipeline, or "
            "PairStyleFeatures() and StandardScaler(with_mean=False)."
        )


def _absolute(D):
    """Take absolute values; sparse ones share D's indices, and D stays as it is."""
    if not issparse(D):
        return abs(D)
    if not D.has_canonical_format:  # values stored for the same entry have to be added up first
        D = D.copy()
        D.sum_duplicates()
    return type(D)((abs(D.data), D.indices, D.indptr), shape=D.shape)


def _squares(D):
    return D.multiply(D) if issparse(D) else D**2


def _automatic_alpha(D, weight):
    """Give the penalty that "auto" stands for, as the docstring of `alpha` says it."""
    squares, weight, total = _squares(D), weight.astype(D.dtype), weight.sum()
    sums = np.asarray(squares.T @ weight, dtype=np.float64)
    if issparse(squares):
        squares.data = (squares.data != 0).astype(D.dtype)
    else:
        squares = (squares != 0).astype(D.dtype)
    counts = np.asarray(squares.T @ weight, dtype=np.float64)
    return (sums * counts / (counts + _FEW)).sum() / total / (_VARIANCE * total)


def _one_hot(y):
    if y.dtype == object and pd.api.types.infer_dtype(y) == "integer":
        y = y.astype(np.int64)  # in an object array, scikit-learn accepts only text as labels
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    # If a label is the arena's, a misspelt one is named; "tie" may also be the last of any three.
    own = CLASSES[:2] if classes[2:].tolist() == ["tie"] else CLASSES
    if classes.dtype.kind in "OU" and set(classes) & set(own):
        classes, codes = check_labels(y)
    if len(classes) not in (2, 3):
        raise ArenaError(
            f"A battle has two classes (a, b) or three (a, b, tie); y contains {len(classes)} "
            f"class{'' if len(classes) == 1 else 'es'}."
        )
    early = classes[:2].tolist() if len(classes) == 3 else []
    ties = ("tie", "draw", "equal", "same", "both", "neither")
    if early == [-1, 0] or any(str(name).casefold().startswith(ties) for name in early):
        warn(
            f"The labels {classes.tolist()}, in this order, are taken for a, b and tie. If the tie "
            "is not the last of them, name them so that it is: 0, 1 and 2, or as the arena does."
        )
    return classes, np.eye(len(classes))[codes]


class _DavidsonLoss:
    """The penalised mean log loss and its gradient, as L-BFGS wants them.

    The products with `D` are made in its own precision, everything else in float64.
    """

    def __init__(self, D, Y, weight, alpha, tie_alpha, fit_intercept):
        self.D = D
        self.ties = Y.shape[1] == 3
        self.absolute = _absolute(D) if self.ties else None
        self.Y = Y
        self.weight = weight
        p = D.shape[1]
        self.penalty = np.concatenate([np.full(p, alpha), np.full(p, tie_alpha), [0.0]])
        self.free = np.ones(2 * p + 1, dtype=bool)
        self.free[p:] = self.ties
        self.free[-1] = self.ties and fit_intercept

    def split(self, theta):
        p = self.D.shape[1]
        return theta[:p].copy(), theta[p:-1].copy(), float(theta[-1]) if self.ties else -np.inf

    def __call__(self, theta):
        """Return the loss and its gradient at `theta`, the weights `w`, `v` and `c` in a row."""
        w, v, c = self.split(theta)
        dtype = self.D.dtype
        d = (self.D @ w.astype(dtype)).astype(np.float64)
        t = (self.absolute @ v.astype(dtype)).astype(np.float64) + c if self.ties else None
        log_proba = log_softmax(davidson_logits(d, t), axis=1)
        loss = -(self.weight @ (self.Y * log_proba).sum(axis=1))
        residual = self.weight[:, None] * (np.exp(log_proba) - self.Y)
        gradient = self.penalty * theta
        loss += theta @ gradient / 2
        p = len(w)
        gradient[:p] += self.D.T @ ((residual[:, 0] - residual[:, 1]) / 2).astype(dtype)
        if self.ties:
            gradient[p:-1] += self.absolute.T @ residual[:, 2].astype(dtype)
            gradient[-1] += residual[:, 2].sum()
        return loss, np.where(self.free, gradient, 0.0)

    def scale(self):
        """Return 1 / sqrt(curvature's diagonal at zero, with ties), for steps of similar size."""
        weight = self.weight.astype(self.D.dtype)
        moments = np.asarray(_squares(self.D).T @ weight, dtype=np.float64)
        curvature = np.concatenate([moments / 6, moments * 2 / 9, [2 / 9]]) + self.penalty
        return 1 / np.sqrt(np.where(curvature > 0, curvature, 1.0))

    def minimise(self, start, max_iter, tol):
        scale = self.scale()

        def scaled(theta):
            loss, gradient = self(theta * scale)
            return loss, gradient * scale

        # Vectors of this size gain nothing from BLAS threads, which wait for each other at every
        # one of the optimizer's products: on two busy cores that made the fit seven times slower.
        # The limit is the process's: in threads, one fit would restore what another has set.
        in_main = threading.current_thread() is threading.main_thread()
        with threadpool_limits(1 if in_main else None, user_api="blas"):
            result = minimize(
                scaled,
                start / scale,
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": max_iter, "gtol": tol, "ftol": 0, "maxcor": 10},
            )
        return result.x * scale, result.nit, result.success or result.status == 2
