"""A wrapper that trains on changed copies of battles, changed so that the vote still holds."""

import math
import re
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from arena_estimators._frames import like, stack
from arena_estimators._validation import HasMethods, Interval, fit_context
from arena_estimators.battles import COLUMNS, GROUP
from arena_estimators.ensemble._checks import check_member
from arena_estimators.ensemble._members import (
    BattleClassifierMixin,
    check_classes,
    fit_member,
    proba_of,
)
from arena_estimators.exceptions import ArenaError, warn
from arena_estimators.model_selection import prompt_groups

_MARKDOWN = (
    (re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+", re.M), ""),
    (re.compile(r"^[ \t]*>[ \t]?", re.M), ""),
    (re.compile(r"^[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+", re.M), ""),
    (re.compile(r"^[ \t]*[-*_]{3,}[ \t]*$\n?", re.M), ""),
    (re.compile(r"!?\[([^\[\]\n]*)\]\([^)\n]{0,1000}\)"), r"\1"),
    # In x**2 + y**2 the stars do not mark bold text: marks touch no letter or digit outside.
    # Only ASCII ones count, because bold text in Chinese has no space before it.
    (
        re.compile(r"(?<![A-Za-z0-9_*)\]])\*\*(?=\S)((?:(?!\*\*).)+)(?<=\S)\*\*(?![A-Za-z0-9_])"),
        r"\1",
    ),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"`{1,3}([^`\n]+)`{1,3}"), r"\1"),
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^`\n]*$\n?", re.M)


class AugmentingClassifier(BattleClassifierMixin, BaseEstimator):
    """Train a classifier on battles and on changed copies of them that keep the vote.

    Both responses are changed alike. Copies are made inside `fit` only; predictions are made for
    battles as given. Copies whose prompt is changed bring a column `prompt_group`, so that no copy
    of a battle in the training part of a split can be in its test part, whether the split is made
    around `fit` or inside it. The classifier must not read that column, as it would through
    `ColumnTransformer(remainder="passthrough")` or columns chosen by type, and then miss in
    predictions: name the columns.

    Parameters
    ----------
    estimator : estimator
        A classifier that takes a DataFrame of battles and has `predict_proba`.
    augmentations : tuple or list of str, default=("drop_turns", "trim", "strip_markdown")
        What may be done to a copy, one of these drawn at random for each:

        - "drop_turns" drops the same number of leading turns, but never all, from prompt and
          responses, where these have equally many;
        - "trim" cuts every turn of both responses to the same share, drawn between 0.5 and 0.9,
          of its characters;
        - "strip_markdown" removes the marks of headers, lists, quotes, code and inline links,
          horizontal rules, and the asterisks of emphasis from both responses, but keeps the text.
    n_copies : int, default=1
        The number of copies of each battle. Where no augmentation changes anything, the copy is
        left out.
    random_state : int, RandomState instance or None, default=None
        Determines the copies.

    Attributes
    ----------
    estimator_ : estimator
        The fitted classifier.
    n_copies_ : int
        The number of copies it was fitted on, beside the battles.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    n_features_in_ : int
        The number of text columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names.

    Raises
    ------
    BattlesError, LabelsError
        If `X` or `y` break the data contract, or `y` holds soft labels the classifier cannot take.
    ArenaError
        If an augmentation is not one of those above, or there is none, if the classifier has no
        `predict_proba` or reads numbers, not battles, or if there are sample weights and it takes
        none.

    Warns
    -----
    ArenaWarning
        If the augmentations change no battle, so that there are no copies.

    See Also
    --------
    SwapSymmetricClassifier : Trains on both orders of the responses.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from arena_estimators import (
    ...     AugmentingClassifier, DavidsonClassifier, PairTfidfVectorizer, make_battles)
    >>> data = make_battles(100, random_state=0)
    >>> pipeline = make_pipeline(PairTfidfVectorizer(), DavidsonClassifier(alpha=1e-3))
    >>> model = AugmentingClassifier(pipeline, augmentations=("trim",), random_state=0)
    >>> model.fit(data.X, data.y).n_copies_
    100
    """

    _parameter_constraints = {
        "estimator": [HasMethods("fit")],
        "augmentations": [tuple, list],
        "n_copies": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        *,
        augmentations=("drop_turns", "trim", "strip_markdown"),
        n_copies=1,
        random_state=None,
    ):
        self.estimator = estimator
        self.augmentations = augmentations
        self.n_copies = n_copies
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit a clone of the classifier on the battles and their copies.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,) or (n_battles, n_classes)
            Labels, or soft labels if the classifier takes them.
        sample_weight : array-like of shape (n_battles,), optional
            Passed to the classifier (in a Pipeline: to its last step); a copy counts as much as
            its battle.

        Returns
        -------
        self
        """
        self.check_settings()
        classes, y, weight = self._read(X, y, sample_weight)
        soft, weighted = y.ndim == 2, weight is not None
        check_member(self.estimator, "estimator", classes, soft=soft, weighted=weighted)
        rows, copies = self._copies(X)
        if self.n_copies and copies.empty:
            warn(
                f"None of the augmentations {list(self.augmentations)} changes any of these "
                "battles, so the classifier is fitted without copies. Name others "
                '("drop_turns" needs battles of several turns), or fit the classifier alone.'
            )
        rows = np.concatenate([np.arange(len(X)), rows])
        groups = prompt_groups(X)[rows]
        X = stack(X, copies)
        if (prompt_groups(X) != groups).any():
            X = X.assign(**{GROUP: groups})
        weight = None if weight is None else weight[rows]
        self.estimator_ = fit_member(self.estimator, X, y[rows], weight)
        check_classes(self.estimator_, classes, "estimator")
        self.n_copies_ = len(copies)
        self.classes_ = classes
        return self

    def _proba(self, X):
        return proba_of(self.estimator_, X, self.classes_, "estimator")

    def check_settings(self):
        """Refuse augmentations that are not known."""
        unknown = [name for name in self.augmentations if name not in _AUGMENTATIONS]
        if unknown or not self.augmentations:
            raise ArenaError(
                f"augmentations must name one or more of {list(_AUGMENTATIONS)}, got "
                f"{self.augmentations!r}."
            )

    def _copies(self, X):
        """Make the copies; return the position of each one's battle, and the copies."""
        rng = check_random_state(self.random_state)
        battles = list(zip(*(X[column] for column in COLUMNS), strict=True))
        rows, changed = [], []
        for row, battle in [*enumerate(battles)] * self.n_copies:
            copy = self._change(battle, rng)
            if copy is not None:
                rows.append(row)
                changed.append(copy)
        rows = np.array(rows, dtype=np.intp)
        originals = X.iloc[rows]
        cells = {
            name: like(originals[name], [copy[place] for copy in changed])
            for place, name in enumerate(COLUMNS)
        }
        return rows, originals.assign(**cells)

    def _change(self, battle, rng):
        """Try the augmentations in random order until one changes the battle."""
        for number in rng.permutation(len(self.augmentations)):
            changed = _AUGMENTATIONS[self.augmentations[number]](battle, rng)
            if changed != battle:
                return changed
        return None


def _drop_turns(battle, rng):
    if not all(isinstance(cell, list | tuple) for cell in battle):
        return battle
    n_turns = len(battle[0])
    if n_turns < 2 or any(len(cell) != n_turns for cell in battle):
        return battle
    first = rng.randint(1, n_turns)
    return tuple(cell[first:] for cell in battle)


def _trim(battle, rng):
    share = rng.uniform(0.5, 0.9)
    return _change_responses(battle, lambda text: text[: math.ceil(share * len(text))])


def _strip_markdown(battle, rng):
    return _change_responses(battle, strip_markdown)


def strip_markdown(text):
    """Remove the marks of Markdown from a text; what they mark stays, and fenced code as it is."""
    parts = _FENCE.split(text)
    for number in range(0, len(parts), 2):  # the others are between two fences
        for pattern, replacement in _MARKDOWN:
            parts[number] = pattern.sub(replacement, parts[number])
    return "".join(parts)


def _change_responses(battle, change):
    prompt, *responses = battle
    return (prompt, *(_change_turns(cell, change) for cell in responses))


def _change_turns(cell, change):
    if isinstance(cell, str):
        return change(cell)
    if isinstance(cell, list | tuple):
        return type(cell)(turn if turn is None else change(turn) for turn in cell)
    return cell


_AUGMENTATIONS = {"drop_turns": _drop_turns, "trim": _trim, "strip_markdown": _strip_markdown}
