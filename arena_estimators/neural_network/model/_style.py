"""The style of battles: two standardised blocks of columns."""

import numpy as np

from arena_estimators.feature_extraction import PairStyleFeatures

_ODD = ("difference", "ratio", "tanh", "interaction")
_SYMMETRIC = ("absolute", "sum", "similarity", "prompt")
_LARGEST = 2.5  # measures of style have long tails


class StyleInputs:
    """PairStyleFeatures, scaled for a network without breaking their symmetry.

    Odd columns are divided by their root mean square and never shifted; symmetric ones are
    standardised. Both are clipped at +-2.5.
    """

    def fit_transform(self, X):
        """Learn the scales from battles and give (odd, even), each float32 of len(X) rows."""
        features = PairStyleFeatures(blocks=(*_ODD, *_SYMMETRIC))
        self.features_ = features.set_output(transform="default")  # whatever the global setting
        columns = self.features_.fit_transform(X).astype(np.float64)
        names = self.features_.get_feature_names_out()
        self.n_odd_ = sum(name.split("__")[0] in _ODD for name in names)
        even = columns[:, self.n_odd_ :]
        self.shift_ = np.r_[np.zeros(self.n_odd_), even.mean(0)]
        spread = np.sqrt(np.mean((columns - self.shift_) ** 2, axis=0))
        self.scale_ = np.where(spread > 1e-6, spread, 1.0)
        return self._scale(columns)

    def transform(self, X):
        """Give (odd, even) of battles."""
        return self._scale(self.features_.transform(X))

    def _scale(self, columns):
        scaled = ((columns - self.shift_) / self.scale_).clip(-_LARGEST, _LARGEST)
        scaled = scaled.astype(np.float32)
        return scaled[:, : self.n_odd_], scaled[:, self.n_odd_ :]


class NoStyle:
    """Stands in for StyleInputs where no style features are wanted."""

    def fit_transform(self, X):
        """Give two blocks without columns."""
        return self.transform(X)

    def transform(self, X):
        """Give two blocks without columns."""
        return np.zeros((len(X), 0), np.float32), np.zeros((len(X), 0), np.float32)
