"""TrainingOptions: what experts may change of a fine-tuning."""

from numbers import Real

from sklearn.base import BaseEstimator

from arena_estimators._validation import COUNT, POSITIVE, Interval, StrOptions


class TrainingOptions(BaseEstimator):
    """What experts may change of the training of a BertPairClassifier.

    A search reaches each option as `training__warmup` and so on.

    Parameters
    ----------
    head_learning_rate : float, default=1e-3
        **Optimizer.** Highest learning rate of the heads, which begin from nothing.
    weight_decay : float, default=0.01
        AdamW's, on matrices.
    schedule : {"linear", "cosine", "constant"}, default="linear"
        How the rates fall after the warm-up. With "constant" and `warmup=0` they are left to
        `callbacks`.
    warmup : float, default=0.1
        Share of the steps in which the rates rise.
    max_grad_norm : float or None, default=1.0
        Gradients are clipped to this norm.
    label_smoothing : float, default=0.0
        **Regularisation.** Share of each label that is spread over all classes.
    patience : int or None, default=1
        Stop after this many epochs without improvement; None runs all. The best epoch's weights
        are restored in any case.
    temperature : "fit" or float, default="fit"
        What logits are divided by; "fit" finds it on held-out battles, near 1 if prompts are few.
    accumulate : int, default=1
        **Memory and speed.** Batches in an optimizer step.
    gradient_checkpointing : bool, default=False
        Compute activations again in the backward pass: slower, in a fraction of the memory.
    compile : bool or "auto", default="auto"
        Whether to compile the encoder, which is possible where sequences are packed. "auto" does
        if the training is long and the machine has Triton and a C compiler.
    callbacks : list of skorch callbacks or None, default=None
        **Callbacks.** Called as in any skorch net. A batch is an optimizer step, which has no
        predictions: monitor "valid_loss", or "train_loss" if nothing is held out. Those that score
        predictions (`EpochScoring`, `BatchScoring`) are refused, and so is `f_pickle`. A continued
        fit starts callbacks anew.

    See Also
    --------
    BertPairClassifier : Takes them as `training`.

    Examples
    --------
    >>> from arena_estimators import BertPairClassifier, TrainingOptions
    >>> BertPairClassifier(training=TrainingOptions(warmup=0.2))
    BertPairClassifier(training=TrainingOptions(warmup=0.2))
    >>> BertPairClassifier().set_params(training__warmup=0.2).training
    TrainingOptions(warmup=0.2)
    """

    _parameter_constraints = {
        "head_learning_rate": [POSITIVE],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "schedule": [StrOptions({"linear", "cosine", "constant"})],
        "warmup": [Interval(Real, 0, 1, closed="both")],
        "max_grad_norm": [POSITIVE, None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "patience": [COUNT, None],
        "temperature": [POSITIVE, StrOptions({"fit"})],
        "accumulate": [COUNT],
        "gradient_checkpointing": ["boolean"],
        "compile": ["boolean", StrOptions({"auto"})],
        "callbacks": [list, None],
    }

    def __init__(
        self,
        *,
        head_learning_rate=1e-3,
        weight_decay=0.01,
        schedule="linear",
        warmup=0.1,
        max_grad_norm=1.0,
        label_smoothing=0.0,
        patience=1,
        temperature="fit",
        accumulate=1,
        gradient_checkpointing=False,
        compile="auto",
        callbacks=None,
    ):
        self.head_learning_rate = head_learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup = warmup
        self.max_grad_norm = max_grad_norm
        self.label_smoothing = label_smoothing
        self.patience = patience
        self.temperature = temperature
        self.accumulate = accumulate
        self.gradient_checkpointing = gradient_checkpointing
        self.compile = compile
        self.callbacks = callbacks
