"""Training and prediction of BERT-like networks, ours and as people do it, with a clock."""

import time

import numpy as np
import torch
import transformers
from skorch.callbacks import Callback

from arena_estimators import BertPairClassifier, TrainingOptions
from arena_estimators._encoder._find import find_encoder
from arena_estimators._encoder._load import load_encoder, load_tokenizer
from arena_estimators._encoder._placement import on_device
from arena_estimators._encoder._run import encode, forward, pad, resolve_precision
from arena_estimators._encoder._tokenise import tokenise
from benchmarks._harness import forget_peak, peak_memory

MAX_LENGTH = 512
GPU = torch.cuda.is_available()
SIZE = 8192 if GPU else 1024
WARM_UP = 8 if GPU else 1  # steps that are not timed
# What people set when the Trainer should be fast.
BEST = {"bf16": True, "optim": "adamw_torch_fused"}
BEST |= {"torch_compile": True} if GPU else {"train_sampling_strategy": "group_by_length"}
# Steps of the Trainer, warm-up included, and sequences of each: at its best, at its defaults.
N_STEPS = {True: (32, 128), False: (120, 8)} if GPU else {True: (20, 8), False: (12, 8)}


def matmul_rate(dtype):
    """Measure the operations a second of a matrix product of `SIZE` cubed.

    On a GPU for a second or two, after which its clock is that of a training.
    """
    rounds, size = 1000 if GPU else 30, SIZE
    a, b = (torch.randn(size, size, device=_where(), dtype=dtype) for _ in range(2))
    for _ in range(rounds // 6):
        a @ b
    _wait()
    start = time.perf_counter()
    for _ in range(rounds):
        a @ b
    _wait()
    return rounds * 2 * size**3 / (time.perf_counter() - start)


def _where():
    return "cuda" if GPU else "cpu"


def _wait():
    if GPU:
        torch.cuda.synchronize()


def random_bert_base(encoder, folder, **sizes):
    """Save a BERT of base size with random weights beside another encoder's tokenizer."""
    tokenizer = load_tokenizer(find_encoder(encoder))
    config = transformers.BertConfig(vocab_size=len(tokenizer), num_labels=3, **sizes)
    torch.manual_seed(0)
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def operations(lengths, config, *, training=True):
    """Count the floating point operations of sequences of these lengths, forward or both ways."""
    width, layers = config.hidden_size, config.num_hidden_layers
    weights = layers * (4 * width**2 + 2 * width * config.intermediate_size)
    lengths = np.asarray(lengths, dtype=np.float64)
    once = 2 * weights * lengths.sum() + 4 * layers * width * (lengths**2).sum()
    return 3 * once if training else once


class Clock(Callback):
    """Time the steps after the first ones, without making the host wait in between."""

    def __init__(self, profile=False):
        self.profile = profile

    def on_train_begin(self, net, **kwargs):
        self.start, self.lengths = None, []

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        if self.start is not None:
            self.lengths += [_lengths(part) for part in batch.parts]
        elif net.step_ == WARM_UP:
            _wait()
            self.start = time.perf_counter()
        if self.profile and net.step_ == WARM_UP + 4:
            self.profiler = profiled().__enter__()
        elif self.profile and net.step_ == WARM_UP + 9:
            summarise(self.profiler)

    def on_train_end(self, net, **kwargs):
        _wait()
        self.seconds = time.perf_counter() - self.start


def profiled():
    """Make a profiler of what the GPU does; it is started by entering it."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    _wait()
    return torch.profiler.profile(activities=activities)


def summarise(profiler):
    """Stop a profiler; print the slowest kernels and how long the GPU had nothing to do."""
    _wait()
    profiler.__exit__(None, None, None)
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    busy, end = 0.0, spans[0][0]
    for start, stop in spans:
        busy, end = busy + max(0.0, stop - max(start, end)), max(end, stop)
    whole = end - spans[0][0]
    print(f"The GPU is idle {1 - busy / whole:.1%} of {whole / 1e3:.0f} ms")
    by_name = {}
    for event in profiler.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            total, count = by_name.get(event.name, (0.0, 0))
            by_name[event.name] = total + event.time_range.elapsed_us(), count + 1
    for name, (total, count) in sorted(by_name.items(), key=lambda item: -item[1][0])[:25]:
        print(f"{total / busy:6.1%} {total / 1e3:8.2f} ms {count:5d} x  {name[:110]}", flush=True)


def _lengths(part):
    """Give the lengths of the sequences that the battles of a part read."""
    if "cu_seqlens" in part["inputs"][0]:
        every = part["inputs"][0]["cu_seqlens"].diff()
    else:
        every = torch.cat([inputs["attention_mask"].sum(1) for inputs in part["inputs"]])
    return every[part["rows"].flatten().unique()].numpy()


def train_ours(folder, X, y, *, profile=False, compile="auto", **parameters):
    """Train in both orders with the estimator; give pairs, tokens, operations and seconds."""
    clock = Clock(profile)
    model = BertPairClassifier(
        folder,
        architecture="cross",
        max_length=MAX_LENGTH,
        style_features=False,
        validation_fraction=0.0,
        training=TrainingOptions(callbacks=[clock], compile=compile),
        **parameters,
    )
    model.fit(X, y)
    lengths = np.concatenate(clock.lengths)
    config = transformers.AutoConfig.from_pretrained(folder)
    return {
        "pairs": len(lengths),
        "tokens": lengths.sum(),
        "flops": operations(lengths, config),
        "seconds": clock.seconds,
    }


class _TrainerClock(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == WARM_UP:
            _wait()
            self.start = time.perf_counter()

    def on_train_end(self, args, state, control, **kwargs):
        _wait()
        self.seconds = time.perf_counter() - self.start


def train_with_trainer(folder, X, y, *, best, home):
    """Train a sequence classifier on the same sequences with transformers.

    They are padded to 512 tokens; at the best setting on a CPU, which has no shapes to compile for,
    those of similar length are batched together and padded to the longest of them.
    """
    tokenizer = load_tokenizer(folder)
    tokenised = tokenise(X, tokenizer, layout="cross", max_length=MAX_LENGTH)
    place = {"model_a": 0, "model_b": 1, "tie": 2}
    labels = np.array([place[label] for label in y])
    n_steps, batch = N_STEPS[best]
    rows = tokenised.rows.ravel()[: batch * n_steps]
    labels = np.column_stack([labels, np.array([1, 0, 2])[labels]]).ravel()[: len(rows)]
    fixed = GPU or not best
    examples = [
        {"labels": int(label), **_example(tokenised.sequences, row, MAX_LENGTH if fixed else 0)}
        for row, label in zip(rows, labels, strict=True)
    ]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    clock = _TrainerClock()
    arguments = transformers.TrainingArguments(
        output_dir=f"{home}/trainer",
        per_device_train_batch_size=batch,
        max_steps=n_steps,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        use_cpu=not GPU,
        disable_tqdm=True,
        **(BEST if best else {}),
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=examples, callbacks=[clock])
    if not fixed:
        trainer.data_collator = transformers.DataCollatorWithPadding(tokenizer)
    trainer.train()
    lengths = tokenised.sequences.lengths[rows]
    lengths = lengths[: len(lengths) - WARM_UP * batch]  # about those of the steps that are timed
    return {
        "pairs": len(lengths),
        "tokens": lengths.sum(),
        "flops": operations(lengths, model.config),
        "seconds": clock.seconds,
    }


def _example(sequences, row, length):
    """Give one sequence as tensors, padded to a length."""
    inputs = {name: tensor[0] for name, tensor in pad(sequences, [row]).items()}
    short = max(0, length - len(inputs["input_ids"]))
    return {name: torch.nn.functional.pad(v, (0, short)) for name, v in inputs.items()}


def encode_in_given_order(encoder, X, layout, *, rounds, batch_size=32):
    """Encode the sequences of battles in two ways, in turn: by token budget, and padded as given.

    A siamese network reads each response with the prompt, a CrossEncoder a battle at once. A CPU
    computes in float32, as it does by itself, and in bfloat16 where it has instructions for it.
    """
    folder = find_encoder(encoder)
    tokenised = tokenise(X, load_tokenizer(folder), layout=layout, max_length=MAX_LENGTH)
    read = tokenised.rows if layout == "siamese" else tokenised.rows[:, 0]
    distinct, given = np.unique(read.ravel(), return_inverse=True)
    sequences = tokenised.sequences.take(distinct)
    device, precisions = torch.device(_where()), ["auto"]
    model = load_encoder(folder).to(device)
    if resolve_precision("auto", device, training=True) != resolve_precision("auto", device):
        precisions.append("bf16")  # a CPU that computes in it when it is asked to

    def by_budget(precision):
        options = {"device": device, "batch_tokens": 65536 if GPU else 2048}
        dtype = resolve_precision(precision, device)
        with on_device(model, device, dtype, len(sequences)) as placed:
            return encode(placed, sequences, precision=precision, **options)[given]

    def padded(precision):
        made, dtype = [], resolve_precision(precision, device)
        half = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
        with torch.inference_mode(), half:
            for start in range(0, len(given), batch_size):
                inputs = pad(sequences, given[start : start + batch_size])
                inputs = {name: value.to(device) for name, value in inputs.items()}
                made.append(forward(model, inputs, pooling="mean").float().cpu().numpy())
        return np.concatenate(made)

    runs = {
        f"padded, {batch_size} as they come": (padded, sequences.lengths[given]),
        "by budget, each text once": (by_budget, sequences.lengths),
    }
    ways = [(name, *run, precision) for precision in precisions for name, run in runs.items()]
    seconds, peaks, vectors = [[] for _ in ways], [0] * len(ways), [None] * len(ways)
    if GPU:
        for _, run, _, precision in ways:
            run(precision)  # compiles
    for _ in range(rounds):
        for i, (_, run, _, precision) in enumerate(ways):
            forget_peak_memory()
            start = time.perf_counter()
            vectors[i] = run(precision)
            seconds[i].append(time.perf_counter() - start)
            peaks[i] = peak_mib()
    rates = {name: matmul_rate(resolve_precision(name, device)) for name in precisions}
    rows = []
    for i, (name, _, lengths, precision) in enumerate(ways):
        took = float(np.median(seconds[i]))
        done = operations(lengths, model.config, training=False)
        rows.append(
            {
                "prediction": name,
                "computed in": str(resolve_precision(precision, device)).removeprefix("torch."),
                "pairs/s": len(X) / took,
                "real tokens/s": float(sequences.lengths[given].sum() / took),
                "times the first": float(np.median(np.divide(seconds[0], seconds[i]))),
                "peak MiB": peaks[i],
                "share of matrix rate": float(done / took / rates[precision]),
                "largest difference": float(np.abs(vectors[i] - vectors[0]).max()),
            }
        )
    return rows


def forget_peak_memory():
    """Begin to watch the peak memory anew."""
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak()


def peak_mib():
    """Give the peak memory since `forget_peak_memory` in MiB: of the GPU, or this process's."""
    if GPU:
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory()
