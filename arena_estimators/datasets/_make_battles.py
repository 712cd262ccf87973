"""Battles written from a Davidson model whose true coefficients are known."""

import math
import random
from numbers import Integral, Real

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import softmax
from sklearn.utils import Bunch, check_random_state

from arena_estimators._validation import Interval, validate_params
from arena_estimators.battles import CLASSES, COLUMNS
from arena_estimators.datasets._writer import FEATURES, Writer

_DESCR = """Synthetic battles from a Davidson model.

With the odd features D (of response_a minus of response_b, columns log_length, lists, headers,
bold, refusal, on_topic), the strength gap d = D @ coef_ and the tie term
t = |D| @ tie_coef_ + tie_intercept_, the label is drawn with
P(model_a, model_b, tie) proportional to (exp(d / 2), exp(-d / 2), exp(t)).
"""


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "tie_rate": [Interval(Real, 0, 1, closed="left")],
        "length_effect": [Interval(Real, None, None, closed="neither")],
        "style_effect": [Interval(Real, None, None, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_battles(
    n_samples: int = 1000,
    *,
    tie_rate: float = 0.3,
    length_effect: float = 1.0,
    style_effect: float = 0.3,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Generate believable battles whose true preference model is known.

    Prompts cover many subjects, code and several languages, about one in seven comes up again, and
    some battles have several turns; responses differ in length, Markdown, refusals, and in how
    much they keep to the subject. A few turns are null, as in the arena's own files. Nothing is
    read from disk or network.

    Parameters
    ----------
    n_samples : int, default=1000
        The number of battles.
    tie_rate : float, default=0.3
        The mean probability of a tie. With 0 there are no ties and the task has two classes.
    length_effect : float, default=1.0
        The coefficient of the difference of log lengths in characters.
    style_effect : float, default=0.3
        The coefficient of each difference of log(1 + count) of list items, headers and bold texts.
    random_state : int, RandomState instance or None, default=None
        Determines texts and labels. Pass an int for the same battles on every call.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With these attributes:

        X : DataFrame of shape (n_samples, 3)
            The columns prompt, response_a and response_b. A cell of one turn is text, or `[None]`
            for a null one; a cell of several turns is a list.
        y : ndarray of shape (n_samples,)
            "model_a", "model_b" or "tie".
        id : ndarray of shape (n_samples,)
            Distinct integers.
        model_a, model_b : ndarray of shape (n_samples,)
            Names of the (invented) models.
        D : DataFrame of shape (n_samples, 6)
            The true odd features, response_a minus response_b.
        `coef_`, `tie_coef_` : ndarray of shape (6,)
            The true coefficients of D and of its absolute values.
        `tie_intercept_` : float
            The true intercept of the tie term; minus infinity without ties.
        proba : ndarray of shape (n_samples, 3), or (n_samples, 2) without ties
            The true probabilities of the sorted classes.
        DESCR : str
            The model in words.

    References
    ----------
    R. R. Davidson, "On extending the Bradley-Terry model to accommodate ties in paired comparison
    experiments", Journal of the American Statistical Association 65 (1970).

    Examples
    --------
    >>> from arena_estimators import make_battles
    >>> data = make_battles(100, random_state=0)
    >>> data.X.columns.tolist(), data.y.shape, data.proba.shape
    (['prompt', 'response_a', 'response_b'], (100,), (100, 3))
    """
    rng = check_random_state(random_state)
    writer = Writer(random.Random(int(rng.randint(2**31 - 1))))
    cells, names, measured = zip(*(writer.battle() for _ in range(n_samples)), strict=True)
    X = pd.DataFrame(dict(zip(COLUMNS, zip(*cells, strict=True), strict=True)))
    models, phi = np.array(names), np.array(measured)
    D = phi[:, 0] - phi[:, 1]

    coef = np.array([length_effect, style_effect, style_effect, style_effect, -1.5, 1.5])
    tie_coef = np.array([-0.3, 0.0, 0.0, 0.0, -0.5, -0.5])
    logits = np.column_stack([D @ coef / 2, -D @ coef / 2, np.abs(D) @ tie_coef])
    tie_intercept = _tie_intercept(logits, tie_rate)
    logits[:, 2] += tie_intercept
    proba = softmax(logits[:, : 3 if tie_rate else 2], axis=1)
    drawn = (rng.uniform(size=(n_samples, 1)) > proba.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return Bunch(
        X=X,
        y=np.array(CLASSES)[drawn],
        id=rng.choice(10 * n_samples, size=n_samples, replace=False) + 30_000,
        model_a=models[:, 0],
        model_b=models[:, 1],
        D=pd.DataFrame(D, columns=list(FEATURES)),
        coef_=coef,
        tie_coef_=tie_coef,
        tie_intercept_=tie_intercept,
        proba=proba,
        DESCR=_DESCR,
    )


def _tie_intercept(logits, tie_rate):
    """Solve for the intercept that makes `tie_rate` the mean probability of a tie."""
    if not tie_rate:
        return -math.inf

    def excess(intercept):
        return softmax(logits + [0, 0, intercept], axis=1)[:, 2].mean() - tie_rate

    reach = np.abs(logits).max() * 2 + 40
    return float(brentq(excess, -reach, reach))
