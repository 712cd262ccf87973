"""A classifier that gives itself away when it is judged on battles it was fitted on."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Memory(ClassifierMixin, BaseEstimator):
    """Is sure of battles it has seen, by their index, and knows nothing of others."""

    def fit(self, X, y, X_unlabelled=None):
        self.classes_, self.unlabelled_ = np.unique(y), X_unlabelled
        self.seen_ = dict(zip(X.index, y, strict=True))
        return self

    def predict_proba(self, X):
        rows = [self.classes_ == self.seen_.get(battle) for battle in X.index]
        return np.array([row * 0.97 + 0.01 if row.any() else row + 1 / 3 for row in rows])
