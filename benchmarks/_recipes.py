"""The recipes that others publish for this task, and blocks of features for the ablation.

The published ones are composed with this library's vectorizer, which gives the same matrix as
scikit-learn's in less time, so their times are flattering.
"""

import re
from unittest import mock

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from arena_estimators import (
    BlendingClassifier,
    EarlyStoppingClassifier,
    PairStyleFeatures,
    PairTfidfVectorizer,
    PromptGroupShuffleSplit,
    SwapSymmetricClassifier,
    make_arena_pipeline,
)
from arena_estimators.battles import COLUMNS, texts
from benchmarks import _battles
from benchmarks._harness import RESULTS

_COUNTED = (
    r"\w+", r"\n", r"\n\n", r"^#+ ", r"^\s*[-*] ", r"^\s*\d+\. ", r"\*\*", r"```", r"`", r"\|",
    r"\d", r"[A-Z]", r"[.!?]", r"\?", r"!", r",", r"https?://", r"[^\x00-\x7f]",
)  # fmt: skip
_COUNTED = [re.compile(pattern, re.MULTILINE) for pattern in _COUNTED]


def structure(X):
    """Count lengths and markdown, and give differences, their sizes and ratios, as by hand."""
    a, b = (
        np.array([[len(t), *(len(p.findall(t)) for p in _COUNTED)] for t in texts(X[column])])
        for column in COLUMNS[1:]
    )
    gap = np.log1p(a) - np.log1p(b)
    return np.hstack([gap, np.abs(gap), (a - b) / (a + b + 1)])


def published_sparse():
    """Compose signed and absolute differences of n-grams, structure and SGD, on both orders."""
    options = {"combine": "difference+absolute", "sublinear_tf": True}
    features = FeatureUnion(
        [
            ("words", PairTfidfVectorizer(ngram_range=(1, 3), max_features=100_000, **options)),
            (
                "characters",
                PairTfidfVectorizer(
                    analyzer="char_wb", ngram_range=(2, 5), max_features=50_000, **options
                ),
            ),
            ("structure", make_pipeline(FunctionTransformer(structure), StandardScaler())),
        ]
    )
    sgd = SGDClassifier(loss="log_loss", alpha=3e-4, random_state=0)
    return SwapSymmetricClassifier(make_pipeline(features, sgd))


class CharacterTopics(TransformerMixin, BaseEstimator):
    """Latent dimensions of the characters of prompt and responses, similarities and lengths."""

    def __init__(self, n_components=32):
        self.n_components = n_components

    def fit(self, X, y=None):
        """Learn vocabulary and dimensions."""
        self.tfidf_ = PairTfidfVectorizer(
            combine="separate",
            analyzer="char",
            ngram_range=(1, 7),
            max_features=50_000,
            sublinear_tf=True,
        )
        parts = self._parts(self.tfidf_.fit_transform(X))
        self.svd_ = TruncatedSVD(self.n_components, random_state=0)
        self.svd_.fit(sparse.vstack(parts, format="csr"))
        return self

    def transform(self, X):
        """Give the dimensions of each text, three cosines and three lengths."""
        prompt, a, b = parts = self._parts(self.tfidf_.transform(X))
        cosines = [np.ravel(u.multiply(v).sum(1)) for u, v in ((a, b), (prompt, a), (prompt, b))]
        lengths = [np.log1p([len(text) for text in texts(X[column])]) for column in COLUMNS]
        lengths.append(lengths[1] - lengths[2])
        topics = [self.svd_.transform(part) for part in parts]
        return np.column_stack([*topics, *cosines, *lengths])

    def _parts(self, joined):
        width = joined.shape[1] // 3
        return [joined[:, k * width : (k + 1) * width] for k in range(3)]


def published_boosting():
    """Compose characters in few dimensions, similarities and lengths, with LightGBM."""
    from lightgbm import LGBMClassifier

    booster = LGBMClassifier(
        learning_rate=0.05,
        n_estimators=1000,
        num_leaves=31,
        colsample_bytree=0.5,
        n_jobs=2,
        random_state=0,
        verbose=-1,
    )
    return EarlyStoppingClassifier(make_pipeline(CharacterTopics(), booster), random_state=0)


def boosting_without_lightgbm():
    """Compose "boosting" as it is where LightGBM is not installed."""
    with mock.patch("importlib.util.find_spec", return_value=None):
        return make_arena_pipeline("boosting", n_jobs=2, random_state=0)


def embedding():
    """Compose "embedding", with vectors kept over the folds, so that the first takes longest."""
    folder = str(RESULTS / "vectors")
    model = make_arena_pipeline("embedding", random_state=0)
    return model.set_params(featureunion__vectors__pairembeddings__cache_dir=folder)


def minilm():
    """Compose "bert" in bfloat16 on any machine, as "auto" chooses on a recent GPU."""
    return make_arena_pipeline("bert", random_state=0).set_params(precision="bf16")


ENCODERS = {"embedding": embedding, "bert": minilm}
KINDS = ("class prior", "linear", "boosting", "kernel", "forest", "svm", "ensemble", *ENCODERS)


def compose(kind):
    """Compose a kind, two threads or processes at a time where it can, or the class prior."""
    if kind == "class prior":
        return _battles.prior()
    if kind in ENCODERS:
        return ENCODERS[kind]()
    return make_arena_pipeline(kind, n_jobs=2, random_state=0)


def ensemble_with_minilm():
    """Blend "ensemble" and the fine-tuned encoder, judged on a quarter of the prompts.

    The encoder is fitted twice, and each fit would find a temperature of its own; so it keeps 1,
    and the blend's temperature serves both.
    """
    ensemble = make_arena_pipeline("ensemble", n_jobs=2, random_state=0)
    bert = minilm().set_params(temperature=1.0)
    cv = PromptGroupShuffleSplit(random_state=0)
    return BlendingClassifier([("ensemble", ensemble), ("bert", bert)], cv=cv)


def ensemble_beside_minilm():
    """Average the log probabilities of "ensemble" and "bert", each with its own temperature."""
    ensemble = make_arena_pipeline("ensemble", n_jobs=2, random_state=0)
    members = [("ensemble", ensemble), ("bert", minilm())]
    return BlendingClassifier(members, weights=[0.5, 0.5], temperature=1.0)


def character_dimensions():
    """Compose latent dimensions of the difference of characters, an odd block."""
    tfidf = PairTfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 5), min_df=5, max_features=100_000, sublinear_tf=True
    )
    return make_pipeline(tfidf, TruncatedSVD(32, random_state=0), StandardScaler(with_mean=False))


class LengthByPromptKind(TransformerMixin, BaseEstimator):
    """The difference of lengths, for each kind of prompt in a column of its own: an odd block."""

    def fit(self, X, y=None):
        """Find the columns."""
        self.style_ = PairStyleFeatures(("difference", "prompt")).fit(X)
        names = self.style_.get_feature_names_out().tolist()
        self.length_ = names.index("difference__log_words")
        self.kinds_ = [k for k, name in enumerate(names) if name.startswith("prompt__asks_")]
        return self

    def transform(self, X):
        """Give a column for each kind."""
        style = self.style_.transform(X)
        return style[:, self.kinds_] * style[:, [self.length_]]

    def get_feature_names_out(self, input_features=None):
        """Name the columns."""
        names = self.style_.get_feature_names_out()[self.kinds_]
        return np.array([f"length_if_{name}" for name in names], dtype=object)
