"""Training and prediction of BERT-like networks, ours and as people do it, with a clock."""

import time

import numpy as np
import torch
import transformers
from skorch.callbacks import Callback

from arena_estimators import BertPairClassifier
from arena_estimators._encoder._find import find_encoder
from arena_estimators._encoder._load import load_encoder, load_tokenizer
from arena_estimators._encoder._run import encode, forward, pad
from arena_estimators._encoder._tokenise import tokenise
from benchmarks._harness import forget_peak, peak_memory

MAX_LENGTH = 512
WARM_UP = 8  # steps that are not timed


def matmul_rate():
    """Measure the operations a second of a matrix product: bf16 on a GPU, fp32 on a CPU."""
    gpu = torch.cuda.is_available()
    rounds = 30
    size, dtype = (8192, torch.bfloat16) if gpu else (1024, torch.float32)
    a, b = (torch.randn(size, size, device=_where(), dtype=dtype) for _ in range(2))
    for _ in range(5):
        a @ b
    _wait()
    start = time.perf_counter()
    for _ in range(rounds):
        a @ b
    _wait()
    return rounds * 2 * size**3 / (time.perf_counter() - start)


def _where():
    return "cuda" if torch.cuda.is_available() else "cpu"


def _wait():
    if torch.cuda.is_available():
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
    """Give the lengths of the sequences of a part that battles read."""
    if "cu_seqlens" in part["inputs"][0]:
        every = part["inputs"][0]["cu_seqlens"].diff()
    else:
        every = torch.cat([inputs["attention_mask"].sum(1) for inputs in part["inputs"]])
    return every[part["rows"].flatten().unique()].numpy()


def train_ours(folder, X, y, *, compile=True, batch_tokens=65536, profile=False, seed=None):
    """Train in both orders with the estimator; give pairs, tokens, operations and seconds."""
    clock = Clock(profile)
    model = BertPairClassifier(
        folder,
        architecture="cross",
        max_length=MAX_LENGTH,
        style_features=False,
        validation_fraction=0.0,
        batch_tokens=batch_tokens,
        compile=compile,
        callbacks=[clock],
        random_state=seed,
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


def train_with_trainer(folder, X, y, *, best):
    """Train a sequence classifier on the same sequences, padded to 512, with transformers."""
    tokenised = tokenise(X, load_tokenizer(folder), layout="cross", max_length=MAX_LENGTH)
    place = {"model_a": 0, "model_b": 1, "tie": 2}
    labels = np.array([place[label] for label in y])
    n_steps, batch = (32, 128) if best else (120, 8)
    rows = tokenised.rows.ravel()[: batch * n_steps]
    labels = np.column_stack([labels, np.array([1, 0, 2])[labels]]).ravel()[: len(rows)]
    inputs = pad(tokenised.sequences, rows)
    short = MAX_LENGTH - inputs["input_ids"].shape[1]
    inputs = {k: torch.nn.functional.pad(v, (0, short)) for k, v in inputs.items()}
    examples = [
        {**{k: v[i] for k, v in inputs.items()}, "labels": int(labels[i])} for i in range(len(rows))
    ]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    clock = _TrainerClock()
    better = {"bf16": True, "torch_compile": True, "optim": "adamw_torch_fused"} if best else {}
    arguments = transformers.TrainingArguments(
        output_dir=f"{folder}/trainer",
        per_device_train_batch_size=batch,
        max_steps=n_steps,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **better,
    )
    transformers.Trainer(model, arguments, train_dataset=examples, callbacks=[clock]).train()
    timed = slice(WARM_UP * batch, None)
    lengths = tokenised.sequences.lengths[rows][timed]
    return {
        "pairs": len(lengths),
        "tokens": lengths.sum(),
        "flops": operations(lengths, model.config),
        "seconds": clock.seconds,
    }


def encode_in_given_order(encoder, X, layout, *, rounds, batch_size=32):
    """Encode the sequences of battles by token budget, and padded as they come, alternating.

    A siamese network reads each response with the prompt, a CrossEncoder a battle at once.
    """
    folder = find_encoder(encoder)
    tokenised = tokenise(X, load_tokenizer(folder), layout=layout, max_length=MAX_LENGTH)
    read = tokenised.rows if layout == "siamese" else tokenised.rows[:, 0]
    distinct, given = np.unique(read.ravel(), return_inverse=True)
    sequences = tokenised.sequences.take(distinct)
    model = load_encoder(folder).to(_where())
    gpu = torch.cuda.is_available()
    precision, budget = ("bf16", 65536) if gpu else ("fp32", 2048)

    def ours():
        options = {"device": _where(), "precision": precision, "batch_tokens": budget}
        return encode(model, sequences, **options)[given]

    def padded():
        made = []
        half = torch.autocast(_where(), dtype=torch.bfloat16, enabled=gpu)
        with torch.inference_mode(), half:
            for start in range(0, len(given), batch_size):
                inputs = pad(sequences, given[start : start + batch_size])
                inputs = {name: value.to(_where()) for name, value in inputs.items()}
                made.append(forward(model, inputs, pooling="mean").cpu().numpy())
        return np.concatenate(made)

    ways = {"by budget, each text once": ours, f"padded, {batch_size} as they come": padded}
    encoded = dict(zip(ways, (sequences.lengths, sequences.lengths[given]), strict=True))
    seconds, peaks, vectors = {name: [] for name in ways}, {}, {}
    if gpu:
        for way in ways.values():
            way()  # compiles
    for _ in range(rounds):
        for name, way in ways.items():
            _forget_peak()
            start = time.perf_counter()
            vectors[name] = way()
            seconds[name].append(time.perf_counter() - start)
            peaks[name] = _peak()
    rate = matmul_rate()
    ours_, padded_ = vectors.values()
    padded_seconds = list(seconds.values())[1]
    return {
        name: {
            "pairs/s": len(X) / float(np.median(values)),
            "real tokens/s": float(sequences.lengths[given].sum() / np.median(values)),
            "times padded": float(np.median(np.divide(padded_seconds, values))),
            "peak MiB": peaks[name],
            "share of matrix rate": float(
                operations(encoded[name], model.config, training=False) / np.median(values) / rate
            ),
            "largest difference": float(np.abs(ours_ - padded_).max()),
        }
        for name, values in seconds.items()
    }


def _forget_peak():
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak()


def _peak():
    """Give the peak memory since `_forget_peak` in MiB: of the GPU, or this process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory()
