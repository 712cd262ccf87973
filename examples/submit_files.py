"""What the examples share: their files, the checks before any fit, and progress messages."""

import argparse
import gzip
import os
import pathlib
import secrets
import sys
import tempfile
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

import joblib
from sklearn.dummy import DummyClassifier

from arena_estimators import (
    check_labels,
    load_arena,
    make_battles,
    make_submission,
    write_submission,
)
from arena_estimators.battles import CLASSES
from arena_estimators.exceptions import ArenaError

N_TEST = 100
OUT, MADE_OUT = "submission.csv", "made_submission.csv"  # what is made replaces nothing
SUBMISSION = ",".join(["id", *(f"winner_{name}" for name in CLASSES)])
PACKED = b"x\x1fB\xfd]"  # first bytes of what joblib packs: zlib, gzip, bz2, xz, lzma
LEAST = 30  # the fewest battles to make folds of
HIDDEN_TEST = 25_000  # battles in the competition's hidden file; nine hours are allowed
SAMPLE, FEW = 256, 50  # battles to measure the speed on; fewer than FEW tell nothing


def reader(kind, holds, expected):
    """Give a function for an option's `type=` that accepts numbers for which `holds` is true."""

    def read(text):
        if not holds(kind(text)):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text}")
        return kind(text)

    read.__name__ = {int: "whole number", float: "number"}[kind]  # what argparse calls it
    return read


def at_least(least):
    """Give a function for `type=` of an option that takes whole numbers from `least` on."""
    return reader(int, lambda number: number >= least, f"{least} or more")


positive = reader(float, lambda number: 0 < number < float("inf"), "a number above 0")
n_jobs = reader(int, bool, "1 or more, or -1 for all cores")


def parse(
    parser, argv, n_train, *, model="also save the fitted model here (joblib)", reads_model=False
):
    """Add --train, --test, --out and --model (`model` is its help), parse, and check them.

    With `reads_model`, a model that exists is read, not replaced.
    """
    files = parser.add_argument_group("files")
    files.add_argument("--train", help=f"battles with winners (default: {n_train:,} made ones)")
    files.add_argument("--test", help=f"battles to predict (default: {N_TEST} made ones)")
    files.add_argument("--out", help=f"the file to write (default: {OUT}; if made, {MADE_OUT})")
    files.add_argument("--model", help=model)
    args = parser.parse_args(argv)
    if (args.train is None) != (args.test is None):
        parser.error("--train and --test belong together: give both, or neither for made battles")
    if args.train and os.path.realpath(args.train) == os.path.realpath(args.test):
        parser.error("--train and --test are the same file")
    args.out = args.out or (OUT if args.train else MADE_OUT)
    check_paths(args.out, args.model, reads_model=reads_model)
    read = (args.train, args.test, getattr(args, "unlabelled", None))
    taken = {os.path.realpath(path) for path in read if path}
    for option, path in (("out", args.out), ("model", args.model)):
        if path and os.path.realpath(path) in taken:
            parser.error(f"--{option} {path} would overwrite another of the files")
        taken.add(os.path.realpath(args.out))
    return args


def check_paths(out, model, *, reads_model=False):
    """Stop if the submission, or a model that is not read, could not be written."""
    name, folder = os.path.basename(out), os.path.dirname(os.path.realpath(out))
    if not name.lower().endswith((".csv", ".csv.gz")):
        raise SystemExit(f"--out {out}: expected a name that ends in .csv or .csv.gz.")
    if not os.path.isdir(folder):
        raise SystemExit(f"--out {out}: no such folder: {folder}. Make it first.")
    check_writable("--out", out)
    check_replaced(out)
    if model is not None:
        if not (reads_model and os.path.isfile(model)):
            check_writable("--model", model)
        check_model(model, PACKED if reads_model else b"")


def check_replaced(out):
    """Stop if the file to write is there and no submission, but perhaps somebody's battles."""
    opened = gzip.open if out.lower().endswith(".gz") else open
    try:
        with opened(out, "rt", encoding="utf-8") as file:
            header = file.readline().strip()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        header = "no text"
    if header and header != SUBMISSION:
        raise SystemExit(f"--out {out} is there already and no submission; it would be lost.")


def check_model(path, packed=b""):
    """Stop if the file to write exists and does not begin like a model of `save`: it may be data.

    A model that is only read may also begin with one of `packed`.
    """
    if not os.path.isfile(path):
        return
    with one_line("--model: "), open(path, "rb") as file:
        if file.read(1) not in b"\x80" + packed:
            raise SystemExit(f"--model {path} is there already and no model; it would be lost.")


def check_writable(option, path):
    """Stop if a file cannot be written, which is tried with a temporary one in its folder."""
    path = pathlib.Path(os.path.realpath(path))
    # Unlike pathlib's, these raise no error where a folder may not be looked into.
    if os.path.isdir(path):
        raise SystemExit(f"{option} {path} is a folder.")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise SystemExit(f"{option} {path} is there already and cannot be replaced.")
    folder = next(filter(os.path.exists, path.parents), path.parent)  # a drive may be missing
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SystemExit(
            f"{option} {path}: cannot write into {folder}: {error.strerror}."
        ) from None


class Output:
    """A stream that loses its text, but does not end the run, when nobody reads it (`| head`)."""

    def __init__(self, stream):
        self.stream = stream or open(os.devnull, "w")  # None is a closed one

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        """Write, or give up for good."""
        with self._given_up():
            self.stream.write(text)
        return len(text)

    def flush(self):
        """Write what is held back, or give up for good."""
        with self._given_up():
            self.stream.flush()

    @contextmanager
    def _given_up(self):
        try:
            yield
        except OSError:
            with suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())


def start(main):
    """Run a script, and let Ctrl-C end it with one line, instead of a traceback."""
    with suppress(AttributeError):  # of a notebook, whose output shows all letters
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may have any
    with redirect_stdout(Output(sys.stdout)) as out, redirect_stderr(Output(sys.stderr)):
        try:
            main()
        except KeyboardInterrupt:
            raise SystemExit("Interrupted; no submission was written.") from None
        finally:
            out.flush()


@contextmanager
def one_line(start=""):
    """Stop with one line, instead of a traceback, on an error that the user can mend."""
    try:
        yield
    except (ArenaError, OSError) as error:
        raise SystemExit(f"{start}{error}") from None


def named(path):
    """Begin what is said of a file, or of the battles in its place."""
    return f"{path or 'made battles'}: "


def load(path):
    """Load battles and show progress."""
    with one_line():
        return load_arena(path, verbose=True)


def read_train(path, n_made, cv=None, *inner):
    """Load or make battles that a submission can be learned from, which takes all three classes.

    `cv` makes the folds they must be enough for, and `inner` those within.
    """
    battles = make_battles(n_made, random_state=0) if path is None else load(path)
    if battles.y is None:
        raise SystemExit(
            f"{path} has no winners to learn from. Expected the columns winner_model_a, "
            "winner_model_b and winner_tie, or winner."
        )
    with one_line(named(path)):
        check_labels(battles.y)
        rehearse(battles.y)
        if cv is not None:
            check_folds(battles.X, battles.y, cv, *inner)
    return battles


def check_folds(X, y, cv, *inner, least=LEAST):
    """Refuse battles of which a fold, or one of the folds within, would lack a class."""
    if len(X) < least:
        raise ArenaError(f"{len(X):,} battles to learn from are too few; take {least} or more.")
    for train, test in cv.split(X):
        lacking = set(y) - (set(y[train]) & set(y[test]))
        if lacking:
            raise ArenaError(
                "there are too few battles, or too few prompts, for folds that share no prompt: "
                f"one has no battle of {str(min(lacking))!r} to learn from, or none to predict."
            )
        if inner:
            check_folds(X.iloc[train], y[train], *inner, least=0)


def read_test(path, n_made=N_TEST):
    """Load or make battles that a submission can be written for, which takes ids."""
    battles = make_battles(n_made, random_state=1) if path is None else load(path)
    if battles.id is None:
        raise SystemExit(f"{path} has no column 'id', by which a submission names its battles.")
    with one_line(named(path)):
        rehearse(CLASSES, battles.X, battles.id)
    return battles


def rehearse(y, X=(0,), ids=(0,)):
    """Submit the shares of the classes: what is refused with them can be refused before any fit."""
    make_submission(DummyClassifier().fit(y, y), X, ids)


@contextmanager
def step(what):
    """Say what begins and, when it is done, how long it took."""
    print(f"{what} ...", flush=True)
    begin = time.perf_counter()
    yield
    print(f"  took {time.perf_counter() - begin:.0f} s", flush=True)


def project(model, X, others=None):
    """Predict a sample, of `others` if `X` has few battles, and say how long all will take."""
    pool = X if others is None or len(X) >= SAMPLE else max(X, others, key=len)
    if len(pool) < FEW:
        return
    sample = pool.sample(min(SAMPLE, len(pool)), random_state=0)
    model.predict_proba(sample[:3])  # what is done once, however many battles there are
    begin = time.perf_counter()
    model.predict_proba(sample)
    rate = len(sample) / (time.perf_counter() - begin)
    for n_battles in dict.fromkeys([len(X), HIDDEN_TEST]):
        say(f"{n_battles:>7,} battles take about {n_battles / rate / 60:.1f} min.")


def is_main():
    """Tell whether this process writes; with several, only the first does."""
    return int(os.environ.get("RANK", "0")) == 0


def say(text):
    """Print, once however many processes there are."""
    if is_main():
        print(text, flush=True)


def check_whole(model):
    """Stop if Ctrl-C ended a fine-tuning within a fitted model, which is then half trained."""
    parts = [model, *getattr(model, "estimators_", [])]
    if any(getattr(part, "interrupted_", False) for part in parts):
        raise KeyboardInterrupt


def save(model, path):
    """Save a fitted model whole or not at all, in a folder that is made if need be.

    Without a path nothing is saved. If saving fails, on a full disk say, the model is still there
    to predict with, and the message to end with after that is returned; otherwise None.
    """
    if path is None:
        return None
    path = pathlib.Path(path)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, unfinished)
        os.replace(unfinished, path)
    except Exception as error:  # a full disk has errors of many kinds
        print(f"The model cannot be saved ({error}); it predicts all the same.", flush=True)
        return f"The model is not saved in {path}: {error}"
    finally:
        with suppress(OSError):
            unfinished.unlink()
    print(f"The fitted model is in {path}: joblib.load reads it back.", flush=True)
    return None


def submit(model, test, out, unsaved=None):
    """Predict the battles, write the submission, and end with an error if the model is unsaved."""
    with step(f"Predicting {len(test.X):,} battles"):
        frame = make_submission(model, test.X, test.id)
    with one_line("The submission is not written: "):
        write_submission(frame, out)
    print(f"{len(frame):,} predictions in {out}")
    if unsaved:
        raise SystemExit(unsaved)
