"""Real battles for the benchmarks, and the ways people compose this task by hand."""

import json

import numpy as np
import pandas as pd
from scipy.sparse import hstack
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from arena_estimators import DavidsonClassifier, PromptGroupKFold, load_arena, prompt_groups
from arena_estimators.battles import COLUMNS, texts

CV = PromptGroupKFold(5, shuffle=True, random_state=0)


def read(folder, name="judge_unique"):
    """Read one of the parquet files as X and y."""
    data = load_arena(folder / f"{name}.parquet")
    return data.X, data.y


def some(X, y, n_battles):
    """Take whole prompts that together have about `n_battles` battles."""
    groups = prompt_groups(X)
    order = np.random.default_rng(0).permutation(groups.max() + 1)
    rows = np.flatnonzero(np.isin(groups, order[: len(order) * n_battles // len(X)]))
    return X.iloc[rows], y[rows]


def length_gap(X):
    """Give the difference of the log lengths of the responses."""
    a, b = (np.log1p([len(t) for t in texts(X[c])]) for c in ("response_a", "response_b"))
    return pd.DataFrame({"length": a - b})


def joined_text(X):
    """Write prompt and responses one after the other, as most notebooks do."""
    return [" ".join(cells) for cells in zip(*(texts(X[c]) for c in COLUMNS), strict=True)]


class HandComposedDifferences(TransformerMixin, BaseEstimator):
    """Signed and absolute TF-IDF differences, composed from scikit-learn alone."""

    def __init__(self, ngram_range=(1, 2), min_df=3):
        self.ngram_range = ngram_range
        self.min_df = min_df

    def fit_transform(self, X, y=None):
        """Fit one vocabulary on both responses and give the blocks, reading each text once."""
        self.tfidf_ = TfidfVectorizer(
            ngram_range=self.ngram_range, min_df=self.min_df, sublinear_tf=True, dtype=np.float32
        )
        both = self.tfidf_.fit_transform(texts(X.response_a) + texts(X.response_b))
        return self._blocks(both, len(X))

    def fit(self, X, y=None):
        """Fit one vocabulary on both responses."""
        self.fit_transform(X)
        return self

    def transform(self, X):
        """Give the signed and absolute differences."""
        both = self.tfidf_.transform(texts(X.response_a) + texts(X.response_b))
        return self._blocks(both, len(X))

    def _blocks(self, both, n):
        difference = both[:n] - both[n:]
        return hstack([difference, abs(difference)], format="csr")


def prior():
    """Compose the class prior."""
    return DummyClassifier()


def length():
    """Compose the rule that reads the lengths alone."""
    return make_pipeline(FunctionTransformer(length_gap), DavidsonClassifier())


def joined():
    """Compose the starting point most people copy."""
    return make_pipeline(
        FunctionTransformer(joined_text),
        TfidfVectorizer(ngram_range=(1, 2), max_features=20_000),
        LogisticRegression(max_iter=1000),
    )


def differences():
    """Compose signed and absolute differences with a well regularised linear model."""
    return make_pipeline(HandComposedDifferences(), LogisticRegression(C=3, max_iter=1000))


def write_competition_files(folder, out, n_train=57_477, n_test=2_000, random_state=0):
    """Write train.csv and test.csv in the competition's format from judge_57k.parquet."""
    frame = pd.read_parquet(folder / "judge_57k.parquet")
    frame = frame.sample(frac=1, random_state=random_state).reset_index(drop=True)
    for column in COLUMNS:
        cells = (json.dumps(json.loads(c), separators=(",", ":")) for c in frame[column])
        frame[column] = [cell.replace("/", "\\/") for cell in cells]
    test = frame.sample(n_test, random_state=random_state)
    out.mkdir(parents=True, exist_ok=True)
    frame.head(n_train).to_csv(out / "train.csv", index=False)
    test[["id", *COLUMNS]].to_csv(out / "test.csv", index=False)
