"""BertPairClassifier: fine-tune any Hugging Face encoder on battles."""

from numbers import Integral

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from arena_estimators._encoder._find import DEFAULT_ENCODER, find_encoder
from arena_estimators._encoder._load import load_tokenizer
from arena_estimators._encoder._tokenise import tokenise
from arena_estimators._validation import fit_context, validate_battles
from arena_estimators.battles import check_labels
from arena_estimators.neural_network import _calibration, _prediction, _state, _training
from arena_estimators.neural_network._checkpoint import Checkpoint, identify
from arena_estimators.neural_network._data import PairData
from arena_estimators.neural_network._distributed import join_workers, refuse_parallel_jobs
from arena_estimators.neural_network._module import build_module
from arena_estimators.neural_network._parameters import CONSTRAINTS, check_together
from arena_estimators.neural_network._style import NoStyle, StyleInputs


class BertPairClassifier(ClassifierMixin, BaseEstimator):
    """TODO."""

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        encoder=DEFAULT_ENCODER,
        *,
        architecture="siamese",
        pooling="auto",
        style_features=True,
        max_length=512,
        prompt_share=0.25,
        truncation="head_tail",
        n_epochs=1,
        learning_rate=1e-4,
        head_learning_rate=1e-3,
        layer_decay=1.0,
        weight_decay=0.01,
        warmup=0.1,
        schedule="linear",
        label_smoothing=0.0,
        max_grad_norm=1.0,
        batch_tokens=16384,
        accumulate=1,
        lora_rank=None,
        lora_alpha=None,
        freeze=None,
        gradient_checkpointing=False,
        precision="auto",
        compile="auto",
        attention="auto",
        validation_fraction=0.1,
        patience=1,
        temperature="fit",
        predict_order="average",
        device="auto",
        checkpoint_dir=None,
        callbacks=None,
        random_state=None,
        verbose=0,
    ):
        self.encoder = encoder
        self.architecture = architecture
        self.pooling = pooling
        self.style_features = style_features
        self.max_length = max_length
        self.prompt_share = prompt_share
        self.truncation = truncation
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.schedule = schedule
        self.label_smoothing = label_smoothing
        self.max_grad_norm = max_grad_norm
        self.batch_tokens = batch_tokens
        self.accumulate = accumulate
        self.lora_rank = lora_rank
        self.lora_alpha = lora_alpha
        self.freeze = freeze
        self.gradient_checkpointing = gradient_checkpointing
        self.precision = precision
        self.compile = compile
        self.attention = attention
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.temperature = temperature
        self.predict_order = predict_order
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fine-tune the encoder on battles.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,) or (n_battles, n_classes)
            Labels, or soft labels; see `check_labels`.
        sample_weight : array-like of shape (n_battles,), default=None
            Battles of weight 0 are left out.

        Returns
        -------
        BertPairClassifier
            Itself.
        """
        validate_battles(self, X)
        classes, target = check_labels(y, n_battles=len(X))
        target = np.eye(len(classes))[target] if target.ndim == 1 else target
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        X, target, weight = X[weight > 0], target[weight > 0], weight[weight > 0]
        workers = join_workers(self.device)
        refuse_parallel_jobs(workers.device)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        seed = int(workers.sum(seed if workers.is_main else 0))

        folder = find_encoder(self.encoder)
        self.tokenizer_ = load_tokenizer(folder)
        data = self._read(X, fit=True)
        data.target, data.weight = target, weight
        checkpoint, resume = self._find_checkpoint(data, seed)
        seed = resume["seed"] if resume else seed
        devices = [workers.device] if workers.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            self._shape = {
                "architecture": self.architecture,
                "pooling": self.pooling,
                "attention": self.attention,
                "n_odd": data.odd.shape[1],
                "n_even": data.even.shape[1],
                "n_classes": len(classes),
            }
            module = build_module(folder, **self._shape)
            check_together(self, module.encoder.config)
            split = _training.split_by_prompt(X, target, self.validation_fraction, seed)
            self.net_, found = _training.train(
                module,
                data,
                *split,
                settings=self,
                workers=workers,
                seed=seed,
                checkpoint=checkpoint,
                resume=resume,
            )
        self.classes_ = classes
        self.temperature_, self.sure_from_ = found
        self.history_, self.loss_curve_ = _training.read_history(self.net_.history)
        if checkpoint is not None and workers.is_main and not self.net_.interrupted_:
            checkpoint.remove()
        return self

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
        check_is_fitted(self)
        data = self._read(X)
        if self.architecture == "siamese" or self.predict_order == "average":
            return self._probabilities(data)
        proba = self._probabilities(data, given_only=True)
        if self.predict_order == "uncertain":
            unsure = proba.max(1) <= self.sure_from_
            proba[unsure] = self._probabilities(data.take(unsure))
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
        check_is_fitted(self)
        data = self._read(X)
        vectors, rows = self._vectors(data, data.rows)
        return vectors[rows]

    def _read(self, X, *, fit=False):
        """Turn battles into tokens and style features."""
        validate_battles(self, X, reset=False)
        tokenised = tokenise(
            X,
            self.tokenizer_,
            layout=self.architecture,
            max_length=self.max_length,
            prompt_share=self.prompt_share,
            truncation=self.truncation,
        )
        if fit:
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
            data.sequences,
            needed,
            workers=workers,
            dtype=_training.resolve_precision(self.precision, workers.device),
            batch_tokens=self.batch_tokens,
            attention=self.attention,
            progress=bool(self.verbose),
        )
        return vectors, local.reshape(rows.shape)

    def _probabilities(self, data, *, given_only=False):
        vectors, rows = self._vectors(data, data.rows[:, [0, 0]] if given_only else data.rows)
        logits = _prediction.logits_of(self.net_.module_, vectors, rows, data.odd, data.even)
        return _calibration.probabilities(logits[:1] if given_only else logits, self.temperature_)

    def _find_checkpoint(self, data, seed):
        """Give the checkpoint file, if one is wanted, and what it holds, if anything."""
        if self.checkpoint_dir is None:
            return None, None
        known = isinstance(self.random_state, Integral)
        checkpoint = Checkpoint(
            self.checkpoint_dir, identify(self.get_params(), data, seed if known else None)
        )
        return checkpoint, checkpoint.load()

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "net_" in state:
            net, tokenizer = state.pop("net_"), state.pop("tokenizer_")
            state["_network"] = _state.pack_network(net, tokenizer, self._shape)
            state["_epochs"] = list(net.history)
        return state

    def __setstate__(self, state):
        state = dict(state)
        files, epochs = state.pop("_network", None), state.pop("_epochs", None)
        super().__setstate__(state)
        if files is not None:
            self.net_, self.tokenizer_ = _state.unpack_network(files, epochs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags
