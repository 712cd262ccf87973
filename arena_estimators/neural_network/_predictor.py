"""What a fitted BertPairClassifier does: read battles, encode them, predict."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from arena_estimators._encoder._tokenise import tokenise, warn_of_unknown
from arena_estimators._validation import validate_battles
from arena_estimators.neural_network import _calibration, _prediction
from arena_estimators.neural_network._data import PairData
from arena_estimators.neural_network._device import tokens_at_once
from arena_estimators.neural_network._distributed import join_workers
from arena_estimators.neural_network._parameters import check_length
from arena_estimators.neural_network._style import NoStyle, StyleInputs
from arena_estimators.neural_network._training import PACKING


class PairPredictorMixin:
    """The predictions of BertPairClassifier, from the attributes that its `fit` set."""

    def predict_proba(self, X):
        """Predict how likely each class is.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles, n_classes), float64
            In the order of `classes_`.
        """
        data = self._read(X)
        if self.net_.module_.n_readings == 1 or self.predict_order == "average":
            return self._probabilities(data, *self._vectors(data, data.rows))
        vectors, rows = self._vectors(data, data.rows[:, [0, 0]])
        proba = self._probabilities(data, vectors, rows, n_readings=1)
        if self.predict_order == "uncertain":
            unsure = proba.max(1) <= self.sure_from_
            exchanged, places = self._vectors(data, data.rows[unsure, 1])
            both = np.column_stack([rows[unsure, 0], places + len(vectors)])
            vectors = np.concatenate([vectors, exchanged])
            proba[unsure] = self._probabilities(data.take(unsure), vectors, both)
        return proba

    def predict(self, X):
        """Predict the likeliest class.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles,)
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(1)]

    def decision_function(self, X):
        """Give the strength gap and the tie logit, in Davidson's form.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles, 3), or (n_battles,) of a task without ties
            Half the gap by which a is stronger, its negative, and the tie logit; their softmax is
            `predict_proba`. Without ties, the gap by which b is stronger.
        """
        return _calibration.log_odds(self.predict_proba(X))

    def encode(self, X):
        """Give the encoder's pooled vectors.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles, 2, width), float32
            Siamese: of (prompt, a) and of (prompt, b). Cross: of both orders.
        """
        data = self._read(X)
        vectors, rows = self._vectors(data, data.rows)
        return vectors[rows]

    def _read(self, X, *, fit=False):
        """Turn battles into tokens and style features; predictions keep the fitted layout."""
        if not fit:
            check_is_fitted(self)
            self._validate_params()  # some may be set after fit
            check_length(self.max_length, self.net_.module_.encoder.config)
        validate_battles(self, X, reset=False)
        tokenised = tokenise(
            X,
            self.tokenizer_,
            layout=self.architecture if fit else self._shape["architecture"],
            max_length=self.max_length,
            prompt_share=self.prompt_share,
            truncation=self.truncation,
            progress=bool(self.verbose) and join_workers(self.device).is_main,
        )
        if fit:
            warn_of_unknown(tokenised.sequences, self.tokenizer_)
            self.truncation_report_ = tokenised.report
            self._style = StyleInputs() if self.style_features else NoStyle()
        blocks = self._style.fit_transform(X) if fit else self._style.transform(X)
        return PairData(tokenised.sequences, tokenised.rows, *blocks)

    def _vectors(self, data, rows):
        """Encode the sequences that rows point at; give vectors and where each row's are."""
        workers = join_workers(self.device)
        needed, local = np.unique(rows, return_inverse=True)
        vectors = _prediction.pooled_vectors(
            self.net_.module_,
            data.sequences.take(needed),
            workers=workers,
            progress=bool(self.verbose),
            precision=self.precision,
            batch_tokens=tokens_at_once(self.batch_tokens, workers.device),
            packed="auto" if self.attention in PACKING else False,
        )
        return vectors, local.reshape(rows.shape)

    def _probabilities(self, data, vectors, rows, *, n_readings=None):
        logits = _prediction.logits_of(self.net_.module_, vectors, rows, data.odd, data.even)
        pooled = _calibration.pool(logits[:, :n_readings], self.weights_)
        return _calibration.probabilities(pooled, self.temperature_)
