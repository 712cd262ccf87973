"""Ready-made pipelines, each a plain composition that a person could have typed."""

from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from arena_estimators.feature_extraction import PairStyleFeatures, PairTfidfVectorizer
from arena_estimators.linear_model import DavidsonClassifier


def make_arena_pipeline(kind="linear", *, n_jobs=None):
    """Compose a classifier of battles from text to probabilities.

    Parameters
    ----------
    kind : {"linear"}, default="linear"
        `"linear"` is the Davidson model on TF-IDF differences and style differences, as in the
        example. It is exactly symmetric.
    n_jobs : int, optional
        The number of processes that read the texts; None means one.

    Returns
    -------
    Pipeline

    Examples
    --------
    >>> from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from arena_estimators import DavidsonClassifier, PairStyleFeatures, PairTfidfVectorizer
    >>> by_hand = make_pipeline(
    ...     FeatureUnion([
    ...         ("words", PairTfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)),
    ...         ("style", make_pipeline(PairStyleFeatures(), StandardScaler(with_mean=False))),
    ...     ]),
    ...     DavidsonClassifier(),
    ... )
    """
    if kind != "linear":
        raise ValueError(f"kind must be 'linear', got {kind!r}.")
    words = PairTfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, n_jobs=n_jobs)
    style = make_pipeline(PairStyleFeatures(n_jobs=n_jobs), StandardScaler(with_mean=False))
    return make_pipeline(FeatureUnion([("words", words), ("style", style)]), DavidsonClassifier())
