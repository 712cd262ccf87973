"""Splits that keep all battles of a prompt on one side."""

from unicodedata import normalize

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator, GroupKFold, GroupShuffleSplit

from arena_estimators.battles import GROUP, PROMPT, check_battles, texts
from arena_estimators.exceptions import BattlesError


def prompt_groups(X: pd.DataFrame) -> np.ndarray:
    """Give all battles of a prompt the same number.

    Prompts are compared without regard to case, to how much white space stands between words or
    around them, and to whether a letter and its mark, as in "é" or "가", are one character or more
    (Unicode's canonical caseless match). The numbers follow the sorted prompts and so do not depend
    on the order of the rows. A column `prompt_group`, where there is one, gives the groups instead:
    for battles that belong together though their prompts differ, such as those of a conversation
    and of its later turns.

    Parameters
    ----------
    X : DataFrame of shape (n_battles, n_columns)
        Battles; only the columns `prompt` and, if there is one, `prompt_group` are read.

    Returns
    -------
    ndarray of shape (n_battles,) of int

    Raises
    ------
    BattlesError
        If there is no column `prompt`, or a cell of it is not text, or if `prompt_group` is there
        twice, lacks the group of a battle, or mixes kinds of values that cannot be sorted.

    Examples
    --------
    >>> import pandas as pd
    >>> from arena_estimators import prompt_groups
    >>> prompt_groups(pd.DataFrame({"prompt": ["Why?", "How?", " why? "]}))
    array([1, 0, 1])
    """
    check_battles(X, columns=[PROMPT])
    if GROUP in X.columns:
        if (X.columns == GROUP).sum() > 1:
            raise BattlesError(f"X has more than one column named {GROUP!r}.")
        # A missing cell of a CSV file is empty text.
        empty = [isinstance(group, str) and not group.strip() for group in X[GROUP]]
        if any(empty) or X[GROUP].isna().any():
            raise BattlesError(f"The column {GROUP!r} must say a group for every battle.")
        try:
            return np.unique(X[GROUP], return_inverse=True)[1]
        except TypeError as error:
            raise BattlesError(f"The column {GROUP!r} mixes kinds of values: {error}.") from None
    prompts = texts(X[PROMPT])
    normal = {text: _normal(text) for text in set(prompts)}
    number_of = {text: number for number, text in enumerate(sorted(set(normal.values())))}
    return np.array([number_of[normal[text]] for text in prompts], dtype=np.intp)


def _normal(text):
    """Normalise a text, so that texts that count as the same prompt become equal."""
    text = " ".join(text.split())
    if text.isascii():
        return text.casefold()
    return normalize("NFC", normalize("NFD", text).casefold())


class _PromptSplitter(BaseCrossValidator):
    """A scikit-learn splitter, made by `_splitter`, whose groups are the prompts of `X`."""

    # Under metadata routing, `groups` reach `split` if passed, as with scikit-learn's splitters.
    __metadata_request__split = {"groups": True}

    def split(self, X, y=None, groups=None):
        """Generate the positions of training and test battles.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,), optional
            Not used.
        groups : array-like of shape (n_battles,), optional
            Groups to use in place of the prompts.

        Yields
        ------
        train, test : ndarray of int
        """
        if groups is None:
            try:
                groups = prompt_groups(X)
            except BattlesError as error:
                raise BattlesError(
                    f"{type(self).__name__} reads the prompts from X. {error} Split before "
                    "features are made: pass the battles to a pipeline that holds all steps."
                ) from None
        try:
            shape = np.shape(groups)
        except ValueError as error:
            raise BattlesError(f"groups must hold one group a battle: {error}") from None
        if shape[1:] == (1,):
            groups = np.ravel(groups)
        elif len(shape) != 1:
            raise BattlesError(f"groups has the shape {shape}; expected one group a battle.")
        try:
            splits = list(self._splitter().split(X, None, groups))
        except (TypeError, ValueError) as error:
            n_prompts = len(set(map(repr, groups)))  # groups may not be hashable
            raise BattlesError(
                f"{type(self).__name__} cannot split {len(groups)} battles of {n_prompts} prompts: "
                f"{error}"
            ) from None
        yield from splits

    def get_n_splits(self, X=None, y=None, groups=None):
        """Give the number of splits.

        Parameters
        ----------
        X, y, groups : object, optional
            Not used.

        Returns
        -------
        int
        """
        return self.n_splits


class PromptGroupKFold(_PromptSplitter):
    """K folds with no prompt in two of them; the groups are read from `X` itself.

    In arena data many battles share a prompt, and a model that has seen the prompt does better on
    it than it will on new ones. Because no `groups` need to be passed, this splitter also works
    where scikit-learn does not hand them on: as the `cv` of GridSearchCV, CalibratedClassifierCV
    or StackingClassifier, nested as deep as you like.

    Parameters
    ----------
    n_splits : int, default=5
        The number of folds, at least 2.
    shuffle : bool, default=False
        Whether to shuffle the prompts. Otherwise folds are balanced by size.
    random_state : int, RandomState instance or None, default=None
        Determines the folds when `shuffle=True`.

    Raises
    ------
    BattlesError
        By `split`, if `X` has no prompts, or too few for the splits asked for.

    See Also
    --------
    prompt_groups : The groups this splitter makes.
    sklearn.model_selection.GroupKFold : The splitter that does the work.

    Examples
    --------
    >>> from arena_estimators import PromptGroupKFold, make_battles, prompt_groups
    >>> X = make_battles(50, random_state=0).X
    >>> groups = prompt_groups(X)
    >>> train, test = next(PromptGroupKFold(5).split(X))
    >>> set(groups[train]) & set(groups[test])
    set()
    """

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def _splitter(self):
        # StackingClassifier gives every cv a random state; GroupKFold refuses an unused one.
        random_state = self.random_state if self.shuffle else None
        return GroupKFold(self.n_splits, shuffle=self.shuffle, random_state=random_state)


class PromptGroupShuffleSplit(_PromptSplitter):
    """Random parts of the prompts held out, with all battles of a prompt on one side.

    One split (the default) means one fit where K folds mean K: as the `cv` of GridSearchCV or
    BlendingClassifier it is enough to judge models that take hours to fit. What needs a prediction
    for every battle, such as StackingClassifier, needs PromptGroupKFold.

    Parameters
    ----------
    n_splits : int, default=1
        The number of splits. Test parts of two may overlap, which BlendingClassifier refuses.
    test_size : float or int, default=0.25
        The share, or the number, of prompts that are held out.
    random_state : int, RandomState instance or None, default=None
        Determines the splits.

    Raises
    ------
    BattlesError
        By `split`, if `X` has no prompts, or too few for the splits asked for.

    See Also
    --------
    PromptGroupKFold : Tests every battle once.
    sklearn.model_selection.GroupShuffleSplit : The splitter that does the work.

    Examples
    --------
    >>> from arena_estimators import PromptGroupShuffleSplit, make_battles, prompt_groups
    >>> X = make_battles(50, random_state=0).X
    >>> groups = prompt_groups(X)
    >>> train, test = next(PromptGroupShuffleSplit(random_state=0).split(X))
    >>> set(groups[train]) & set(groups[test])
    set()
    """

    def __init__(self, n_splits=1, *, test_size=0.25, random_state=None):
        self.n_splits = n_splits
        self.test_size = test_size
        self.random_state = random_state

    def _splitter(self):
        return GroupShuffleSplit(
            self.n_splits, test_size=self.test_size, random_state=self.random_state
        )
