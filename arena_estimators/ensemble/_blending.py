"""A blend of classifiers of battles whose weights minimise the out-of-fold log loss."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils.metaestimators import _BaseComposition

from arena_estimators._probability import mean_log_loss
from arena_estimators._validation import Interval, StrOptions, check_some_weight, fit_context
from arena_estimators.ensemble._checks import check_member
from arena_estimators.ensemble._folds import fit_and_predict_out_of_fold, make_splits
from arena_estimators.ensemble._members import BattleClassifierMixin, proba_of
from arena_estimators.ensemble._pooling import blend, fit_blend
from arena_estimators.exceptions import ArenaError


class BlendingClassifier(BattleClassifierMixin, _BaseComposition):
    """Blend classifiers with the weights that minimise their out-of-fold log loss.

    With weights of at least 0 that sum to one, the blend is `softmax(sum(w * log(p)) / T)` in log
    space, where the sum goes over the members, `p` are their probabilities, `w` their weights and
    `T` is the temperature; in probability space it is `softmax(log(sum(w * p)) / T)`. Members that
    are exactly symmetric give a blend that is exactly symmetric.

    Parameters
    ----------
    estimators : list of (str, estimator)
        Names and classifiers that take a DataFrame of battles and have `predict_proba`. A member
        may be left out by `set_params(name="drop")`.
    cv : int, splitter, iterable or None, default=None
        The folds of the out-of-fold predictions: a number means that many folds of
        PromptGroupKFold, and None means five. No battle may be in two test parts, but some may be
        in none: `PromptGroupShuffleSplit()` holds out a quarter once, so that members that take
        hours are fitted only twice, and weights and losses come from that quarter.
    weights : "log_loss", array-like of shape (n_members,), dict or Series, default="log_loss"
        Fit the weights, or use those given, which must be non-negative and sum to one. A dict or a
        Series gives them by member name, in any order.
    space : {"log", "probability"}, default="log"
        Blend log probabilities (a weighted geometric mean) or probabilities.
    temperature : "fit" or float, default="fit"
        Fit the temperature, or use this one. It is fitted after the weights, from 0.01 to 100. In
        log space, unless weights are given, it is fitted together with them, and the least is then
        0.01 divided by the number of members.
    prefit : bool, default=False
        Whether the members are fitted already. They are then used as they are, and `fit` fits
        only weights and temperature, on battles the members must not have seen.
    n_jobs : int, optional
        The number of fits at a time; None means one.
    verbose : bool, default=False
        Whether to show the progress of the fits.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted members.
    named_estimators_ : :class:`~sklearn.utils.Bunch`
        The same, by name.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    weights_ : Series of shape (n_members,)
        The weights, by name.
    temperature_ : float
        The temperature; below 1 it sharpens.
    oof_log_loss_ : Series of shape (n_members + 1,)
        The out-of-fold log loss of each member, and of the blend under the name "blend". If both
        `weights` and `temperature` are given and `prefit=False`, no folds are fitted, and this and
        the next attribute are not set.
    leave_one_out_ : Series of shape (n_members,)
        What each member contributes: how much higher the log loss is when the others are blended
        anew without it. NaN where no other member has a weight, as for a single member.
    n_features_in_ : int
        The number of text columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names.

    Raises
    ------
    BattlesError, LabelsError
        If `X` or `y` break the data contract, a member has other classes than `y` or cannot take
        its soft labels, prompts are too few for `cv`, or a fold's training part lacks a class.
    ArenaError
        If names are not unique or one is "blend", if no member is left, if a member or a classifier
        inside it has no `predict_proba`, reads numbers or cannot take the sample weights given, if
        `weights` are not valid, or if `cv` tests no battle, or one twice.
    NotFittedError
        If `prefit=True` and a member is not fitted.

    See Also
    --------
    sklearn.ensemble.VotingClassifier : A mean with given weights.
    sklearn.ensemble.StackingClassifier : A classifier on top of out-of-fold probabilities.

    References
    ----------
    .. [1] C. Genest and J. V. Zidek, "Combining probability distributions: a critique and an
       annotated bibliography", Statistical Science 1 (1986), 114-135.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from arena_estimators import (
    ...     BlendingClassifier, DavidsonClassifier, PairStyleFeatures, PairTfidfVectorizer,
    ...     make_battles)
    >>> data = make_battles(200, random_state=0)
    >>> model = BlendingClassifier([
    ...     ("words", make_pipeline(PairTfidfVectorizer(), DavidsonClassifier(alpha=1e-3))),
    ...     ("style", make_pipeline(PairStyleFeatures(), DavidsonClassifier(alpha=1e-3))),
    ... ]).fit(data.X, data.y)
    >>> bool(model.oof_log_loss_.idxmin() == "blend")
    True
    """

    _parameter_constraints = {
        "estimators": [list],
        "cv": ["cv_object"],
        "weights": [StrOptions({"log_loss"}), "array-like"],
        "space": [StrOptions({"log", "probability"})],
        "temperature": [StrOptions({"fit"}), Interval(Real, 0, None, closed="neither")],
        "prefit": ["boolean"],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    _of_pandas = ("weights_", "oof_log_loss_", "leave_one_out_")

    def __init__(
        self,
        estimators,
        *,
        cv=None,
        weights="log_loss",
        space="log",
        temperature="fit",
        prefit=False,
        n_jobs=None,
        verbose=False,
    ):
        self.estimators = estimators
        self.cv = cv
        self.weights = weights
        self.space = space
        self.temperature = temperature
        self.prefit = prefit
        self.n_jobs = n_jobs
        self.verbose = verbose

    @property
    def named_estimators(self):
        """The members before `fit`, by name."""
        return Bunch(**dict(self.estimators))

    def get_params(self, deep=True):
        """Give the parameters, with `deep=True` also the members and theirs.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params):
        """Set parameters, members by name, or parameters of members by `name__parameter`.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self
        """
        self._set_params("estimators", **params)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit members, weights and temperature.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,) or (n_battles, n_classes)
            Labels, or soft labels if the members take them.
        sample_weight : array-like of shape (n_battles,), optional
            Counts in the log loss and is passed to the members (in a Pipeline: to its last step).

        Returns
        -------
        self
        """
        self.check_settings()
        named = self._named_members()
        weights = self._given_weights(list(named))
        classes, y, sample_weight = self._read(X, y, sample_weight)
        soft = y.ndim == 2
        options = {"prefit": self.prefit, "soft": soft, "weighted": sample_weight is not None}
        for name, member in named.items():
            check_member(member, f"Member {name!r}", classes, **options)
        if sample_weight is not None:
            check_some_weight(sample_weight)
        temperature = None if self.temperature == "fit" else float(self.temperature)
        proba, members = self._fit_members(
            named, X, y, sample_weight, classes, weights is None or temperature is None
        )
        losses = {}
        if proba is not None:
            judged = ~np.isnan(proba[0, :, 0])
            Y = y if soft else (y[:, None] == classes).astype(np.float64)
            weight = np.ones(len(X)) if sample_weight is None else sample_weight
            weight = weight[judged] / weight[judged].sum()
            weights, temperature, losses = self._judge(
                named, proba[:, judged], (Y[judged], weight), weights, temperature
            )
        named_members = Bunch(**dict(zip(named, members, strict=True)))
        weights = pd.Series(weights, index=list(named))
        # All at once: a fit that is interrupted must not leave new members with old weights.
        for earlier in ("oof_log_loss_", "leave_one_out_"):
            vars(self).pop(earlier, None)
        vars(self).update(losses)
        self.estimators_, self.named_estimators_ = members, named_members
        self.weights_, self.temperature_, self.classes_ = weights, temperature, classes
        return self

    def _sk_visual_block_(self):
        names, members = zip(*self.estimators, strict=True)
        return _VisualBlock("parallel", members, names=names)

    def _proba(self, X):
        self._validate_params()  # `space` may have been set since
        members = [
            proba_of(member, X, self.classes_, f"Member {name!r}")
            for name, member in self.named_estimators_.items()
        ]
        return blend(np.stack(members), self.weights_.to_numpy(), self.temperature_, self.space)

    def check_settings(self):
        """Refuse members that have no proper names, and weights that do not fit them."""
        pairs = [isinstance(item, list | tuple) and len(item) == 2 for item in self.estimators]
        if not pairs or not all(pairs) or not all(isinstance(n, str) for n, _ in self.estimators):
            raise ArenaError("estimators must be a list of (name, classifier), at least one.")
        try:
            self._validate_names([name for name, _ in self.estimators])
        except ValueError as error:  # scikit-learn's
            raise ArenaError(str(error)) from None
        named = self._named_members()
        if not named or "blend" in named:
            raise ArenaError("At least one member must be left, and none be named 'blend'.")
        self._given_weights(list(named))

    def _named_members(self):
        return {name: member for name, member in self.estimators if member != "drop"}

    def _members(self):
        pairs = [item for item in self.estimators if isinstance(item, list | tuple)]
        members = [item[-1] for item in pairs if item[-1] != "drop"]
        return ([], members) if self.prefit else (members, [])

    def _given_weights(self, names):
        """Give the weights the user set as an array, or None if they are to be fitted."""
        weights = self.weights
        if isinstance(weights, str):
            return None
        if isinstance(weights, dict | pd.Series):
            if len(weights) != len(names) or set(weights.keys()) != set(names):
                raise ArenaError(
                    f"weights names {list(weights.keys())}; the members are {names}. Pass a list "
                    "to give weights in the members' order."
                )
            weights = [weights[name] for name in names]
        try:
            weights = np.asarray(weights, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ArenaError(f"weights must be numbers, got {weights!r}.") from error
        if weights.shape != (len(names),):
            raise ArenaError(f"weights has shape {weights.shape}; there are {len(names)} members.")
        if not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-6:
            raise ArenaError(
                f"weights must not be negative and must sum to one, got {weights.tolist()} with "
                f"the sum {weights.sum():.6g}."
            )
        return weights / weights.sum()

    def _fit_members(self, named, X, y, sample_weight, classes, needs_folds):
        """Give the probabilities to judge the members by, or None, and the fitted members."""
        members = [(f"Member {name!r}", member) for name, member in named.items()]
        if self.prefit:
            proba = [proba_of(member, X, classes, name) for name, member in members]
            return np.stack(proba), list(named.values())
        splits = make_splits(self.cv, X, y, partition=False) if needs_folds else []
        weighs = sample_weight is None or any(sample_weight[test].any() for _, test in splits)
        if splits and not weighs:
            raise ArenaError("sample_weight is zero on all battles that cv tests.")
        proba, fitted = fit_and_predict_out_of_fold(
            members,
            X,
            y,
            sample_weight,
            splits,
            classes,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        return proba if needs_folds else None, fitted

    def _judge(self, names, proba, truth, weights, temperature):
        """Fit the weights and temperature that are not given; return both, and losses and gains."""

        def judge(kept):
            given = None if weights is None else weights[kept]
            if given is not None and given.sum() == 0:
                return None, None, np.nan
            given = None if given is None else given / given.sum()
            found = fit_blend(proba[kept], *truth, self.space, given, temperature)
            return *found, mean_log_loss(truth[0], blend(proba[kept], *found, self.space), truth[1])

        everyone = np.arange(len(names))
        fitted_weights, fitted_temperature, loss = judge(everyone)
        losses = [mean_log_loss(truth[0], member, truth[1]) for member in proba]
        oof_log_loss = pd.Series([*losses, loss], index=[*names, "blend"])
        gains = [judge(everyone != m)[2] - loss if len(names) > 1 else np.nan for m in everyone]
        gains = pd.Series(gains, index=names)
        judged = {"oof_log_loss_": oof_log_loss, "leave_one_out_": gains}
        return fitted_weights, fitted_temperature, judged
