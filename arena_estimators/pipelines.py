"""Ready-made pipelines, each a plain composition that a person could have typed."""

import importlib.util
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from arena_estimators._validation import StrOptions, validate_params
from arena_estimators.ensemble import (
    BlendingClassifier,
    EarlyStoppingClassifier,
    SwapSymmetricClassifier,
)
from arena_estimators.feature_extraction import (
    PairEmbeddings,
    PairStyleFeatures,
    PairTfidfVectorizer,
)
from arena_estimators.linear_model import DavidsonClassifier
from arena_estimators.model_selection import PromptGroupKFold

_ODD = ("difference", "ratio", "tanh", "interaction")
_ALL = ("difference", "ratio", "absolute", "sum", "similarity", "prompt")


@validate_params(
    {
        "kind": [
            StrOptions(
                {"linear", "boosting", "forest", "kernel", "svm", "embedding", "bert", "ensemble"}
            )
        ],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_arena_pipeline(
    kind: str = "linear",
    *,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> BaseEstimator:
    """Compose a classifier of battles, from text to probabilities, that is exactly symmetric.

    Parameters
    ----------
    kind : str, default="linear"
        - `"linear"`: :class:`DavidsonClassifier` on differences of TF-IDF and of style, as in the
          example. Seconds to fit, and the one to start with.
        - `"boosting"`: LightGBM, or HistGradientBoostingClassifier where it is not installed, on
          style and latent semantic dimensions of words and characters; it stops early on held-out
          prompts.
        - `"forest"`: random forest on style and dimensions of words.
        - `"kernel"`: kernel logistic regression (a radial basis function, approximated from 1,000
          battles in either order) on style and dimensions of words. With fewer than 500 battles it
          uses all of them, and scikit-learn warns that `n_components > n_samples`.
        - `"svm"`: linear support vector machine on the features of `"linear"`.
        - `"embedding"`: :class:`DavidsonClassifier` on differences of a frozen encoder's vectors
          and of style. Every fit and prediction encodes its texts: without a GPU, a few battles per
          second and core. Set `featureunion__vectors__pairembeddings__cache_dir` to keep the
          vectors, and `..._pairembeddings__verbose=True` to see the progress.
        - `"bert"`: :class:`BertPairClassifier`, an encoder fine-tuned on the battles.
        - `"ensemble"`: `"linear"`, `"boosting"` and `"kernel"`, blended.

        The probabilities of `"forest"` and `"svm"` are calibrated by cross-validation: those of
        `"forest"` with one temperature, those of `"svm"` by logistic regression on the margins of
        the classes. The blend's temperature calibrates those of `"ensemble"`; the other kinds
        minimise the log loss themselves.

        All kinds but `"embedding"` and `"bert"` count only words found in at least 5 or 10 texts.
        Ten battles of some length have such words; a handful of one-line answers has none, and for
        those `set_params(featureunion__words__min_df=1)` makes `"linear"` count every word.
    n_jobs : int, optional
        The number of processes or threads that a step may use; None means one.
    random_state : int, RandomState instance or None, default=None
        Determines whatever is random in a step.

    Returns
    -------
    estimator
        An unfitted classifier of battles. Print it to see what it is made of.

    See Also
    --------
    BlendingClassifier : Blends any classifiers of battles.

    Notes
    -----
    Every kind is an ordinary scikit-learn estimator: print it, or call `get_params`, to see all its
    steps and settings, and change any of them with `set_params`.

    Without LightGBM the booster is ``HistGradientBoostingClassifier(l2_regularization=10,
    learning_rate=0.04, max_features=0.3, max_iter=1000, max_leaf_nodes=15)``.

    Examples
    --------
    The composition of `"linear"`, typed by hand:

    >>> import numpy as np
    >>> from sklearn.pipeline import FeatureUnion, make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer, StandardScaler
    >>> from arena_estimators import DavidsonClassifier, PairStyleFeatures, PairTfidfVectorizer
    >>> from arena_estimators.pipelines import same_names
    >>> words = PairTfidfVectorizer(
    ...     analyzer="multilingual", ngram_range=(1, 2), min_df=10, sublinear_tf=True
    ... )
    >>> style = make_pipeline(
    ...     PairStyleFeatures(("difference", "ratio", "tanh", "interaction")),
    ...     StandardScaler(with_mean=False),
    ...     FunctionTransformer(
    ...         np.clip,
    ...         kw_args={"a_min": -2.5, "a_max": 2.5},
    ...         feature_names_out=same_names,
    ...     ),
    ... )
    >>> by_hand = make_pipeline(
    ...     FeatureUnion([("words", words), ("style", style)], transformer_weights={"words": 10}),
    ...     DavidsonClassifier(),
    ... )
    >>> from arena_estimators import make_arena_pipeline
    >>> str(make_arena_pipeline("linear")) == str(by_hand)
    True
    """
    return _COMPOSE[kind](n_jobs, random_state)


def same_names(transformer, names):
    """Keep the names of the columns: what a FunctionTransformer takes for `feature_names_out`.

    Unlike its "one-to-one", this raises an error before `fit`: scikit-learn needs that error to
    draw the diagram of a fitted ensemble.

    Parameters
    ----------
    transformer : FunctionTransformer
    names : ndarray of str of shape (n_features,), or None
        Those that came in; None before `fit`.

    Returns
    -------
    ndarray of str of shape (n_features,)
        The same.

    Raises
    ------
    NotFittedError
        If there are none.
    """
    if names is None:
        raise NotFittedError("A FunctionTransformer knows no names before its fit.")
    return names


def _linear_features(n_jobs):
    words = PairTfidfVectorizer(
        analyzer="multilingual", ngram_range=(1, 2), min_df=10, sublinear_tf=True, n_jobs=n_jobs
    )
    return _beside_style("words", words, weight=10)


def _beside_style(name, transformer, *, weight):
    # A larger weight lets the classifier's penalty shrink these columns less, compared with style.
    return _union((name, transformer), ("style", _style()), transformer_weights={name: weight})


def _style():
    return make_pipeline(PairStyleFeatures(_ODD), StandardScaler(with_mean=False), _clip())


def _clip():
    # Style has long tails: the hundredth line says less than the second.
    return FunctionTransformer(
        np.clip, kw_args={"a_min": -2.5, "a_max": 2.5}, feature_names_out=same_names
    )


def _tree_features(n_jobs, random_state, *more):
    topics = _dimensions(48, n_jobs, random_state)
    return _union(("style", PairStyleFeatures(_ALL)), ("topics", topics), *more)


def _union(*named, **options):
    return _plain(FeatureUnion(list(named), **options))


def _plain(estimator):
    # TF-IDF is sparse, so it cannot be given as pandas, which a user may have configured globally;
    # and scikit-learn warns where one step gives a frame and the next an array.
    return estimator.set_output(transform="default")


def _dimensions(n_components, n_jobs, random_state, *, analyzer="multilingual", **options):
    tfidf = PairTfidfVectorizer(
        analyzer=analyzer, min_df=5, sublinear_tf=True, n_jobs=n_jobs, **options
    )
    return make_pipeline(tfidf, TruncatedSVD(n_components, random_state=random_state))


def _linear(n_jobs, random_state):
    return make_pipeline(_linear_features(n_jobs), DavidsonClassifier())


def _boosting(n_jobs, random_state):
    trigrams = {"analyzer": "char_wb", "ngram_range": (3, 3), "max_features": 20_000}
    characters = _dimensions(32, n_jobs, random_state, **trigrams)
    features = _tree_features(n_jobs, random_state, ("characters", characters))
    pipeline = make_pipeline(features, _booster(n_jobs, random_state))
    early = EarlyStoppingClassifier(pipeline, random_state=random_state)
    return SwapSymmetricClassifier(early)


def _booster(n_jobs, random_state):
    if importlib.util.find_spec("lightgbm") is None:
        return HistGradientBoostingClassifier(
            learning_rate=0.04,
            max_iter=1000,
            max_leaf_nodes=15,
            l2_regularization=10,
            max_features=0.3,
            random_state=random_state,
        )
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        learning_rate=0.04,
        n_estimators=1000,
        num_leaves=31,
        reg_lambda=50,
        colsample_bytree=0.3,
        subsample=0.8,
        subsample_freq=1,
        n_jobs=n_jobs or 1,
        random_state=random_state,
        verbose=-1,
    )


def _forest(n_jobs, random_state):
    # No n_jobs for the forest: its threads add up trees in any order, so not exactly symmetrically.
    forest = RandomForestClassifier(
        200, min_samples_leaf=3, max_features="sqrt", random_state=random_state
    )
    pipeline = make_pipeline(_tree_features(None, random_state), forest)
    cv = PromptGroupKFold(3)
    calibrated = CalibratedClassifierCV(pipeline, cv=cv, method="temperature", n_jobs=n_jobs)
    return SwapSymmetricClassifier(calibrated)


def _kernel(n_jobs, random_state):
    # Nystroem divides by the square roots of the kernel's eigenvalues. Two battles that are alike
    # make one 1e-12 or less, and in float32 rounding would decide the result. The regression is as
    # good in float32, and faster.
    pipeline = make_pipeline(
        _tree_features(n_jobs, random_state),
        FunctionTransformer(np.float64),
        StandardScaler(),
        _clip(),
        Nystroem(gamma=0.004, n_components=1000, random_state=random_state),
        FunctionTransformer(np.float32),
        LogisticRegression(max_iter=1000),
    )
    return SwapSymmetricClassifier(_plain(pipeline))


def _svm(n_jobs, random_state):
    svm = make_pipeline(_linear_features(None), LinearSVC(C=1e-4, random_state=random_state))
    # One temperature would leave ties too rare: the margins of the classes are on scales of their
    # own.
    calibrated = StackingClassifier(
        [("svm", svm)],
        LogisticRegression(),
        cv=PromptGroupKFold(3),
        stack_method="decision_function",
        n_jobs=n_jobs,
    )
    return SwapSymmetricClassifier(_plain(calibrated))


def _embedding(n_jobs, random_state):
    vectors = make_pipeline(PairEmbeddings(), StandardScaler(with_mean=False))
    return make_pipeline(_beside_style("vectors", vectors, weight=0.2), DavidsonClassifier())


def _bert(n_jobs, random_state):
    from arena_estimators.neural_network import BertPairClassifier

    return BertPairClassifier(random_state=random_state)


def _ensemble(n_jobs, random_state):
    members = [
        ("linear", _linear(None, random_state)),
        ("boosting", _boosting(None, random_state)),
        ("kernel", _kernel(None, random_state)),
    ]
    return BlendingClassifier(members, cv=PromptGroupKFold(3), n_jobs=n_jobs)


_COMPOSE = {
    "linear": _linear,
    "boosting": _boosting,
    "forest": _forest,
    "kernel": _kernel,
    "svm": _svm,
    "embedding": _embedding,
    "bert": _bert,
    "ensemble": _ensemble,
}
