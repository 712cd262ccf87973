"""How fast is NLTKCleaner beside the line people write, and how much memory does it take?

    python -m benchmarks.bench_cleaner --data FOLDER [--rows N | --every-text]

Both clean the same battles of judge_unique in one process, one tenth of them after the other, so
that noise affects both; CPU times are reported and outputs compared text by text. Two more tables
give the wall times of one and two processes, and memory. `--rows 0` takes all battles (default:
3,000): the more there are, the more it pays to remember chunks. `--every-text` measures nothing and
compares every text of every file of battles, which takes minutes. NLTK_DATA must hold stopwords,
wordnet and punkt_tab.
"""

import argparse
import collections
import itertools
import multiprocessing
import pathlib
import time

import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from arena_estimators import NLTKCleaner
from arena_estimators.battles import COLUMNS, texts
from arena_estimators.datasets import load_arena
from benchmarks._harness import add_data, forget_peak, in_fresh_process, peak_memory, report

TOKENIZERS = ("treebank", "punkt")
COMPARED = [*itertools.product(TOKENIZERS, (True, False)), ("tweet", True)]
WORKERS = {"start": "to be started", "empty": "started, memory empty", "full": "memory full"}


def read(folder, rows, file="judge_unique.parquet"):
    """Read battles with one text a cell."""
    X = load_arena(pathlib.Path(folder) / file).X
    X = X if not rows else X.iloc[np.linspace(0, len(X) - 1, rows).astype(int)]
    return pd.DataFrame({column: texts(X[column]) for column in COLUMNS})


def usual_line(tokenizer, lowercase=True):
    """Give the function people write, with NLTK's stop words and WordNet loaded."""
    from nltk.stem import WordNetLemmatizer
    from nltk.tokenize import NLTKWordTokenizer, TweetTokenizer, word_tokenize

    stop = set(stop_words())
    lemmatizer = WordNetLemmatizer()
    lemmatizer.lemmatize("words")
    tokenizers = {"treebank": NLTKWordTokenizer, "tweet": TweetTokenizer}
    tokenize = tokenizers[tokenizer]().tokenize if tokenizer in tokenizers else word_tokenize
    tokenize("One. Two.")

    def clean(text):
        words = tokenize(text.lower() if lowercase else text)
        return " ".join(lemmatizer.lemmatize(word) for word in words if word not in stop)

    return clean


def stop_words():
    from nltk.corpus import stopwords

    return stopwords.words("english")


def compare(folder, rows, tokenizer):
    """Clean by both ways in turn; give the CPU seconds of each and the number of unequal texts."""
    X = read(folder, rows)
    line = usual_line(tokenizer)
    cleaner = NLTKCleaner(tokenizer=tokenizer, keep_punctuation=True).fit(X)
    seconds = np.zeros(2)
    unequal = 0
    for part in np.array_split(np.arange(len(X)), 10):
        block = X.iloc[part]
        times = [time.process_time()]
        ours = cleaner.transform(block)
        times.append(time.process_time())
        usual = {column: [line(text) for text in block[column]] for column in COLUMNS}
        times.append(time.process_time())
        seconds += np.diff(times)
        unequal += sum((ours[column] != usual[column]).sum() for column in COLUMNS)
    return *seconds.tolist(), int(unequal)


def count_unequal(folder, tokenizer, lowercase):
    """Clean each distinct text of all files by both ways; count texts and unequal ones."""
    distinct = {}
    for file in sorted(folder.glob("*.parquet")):
        X = load_arena(file, non_text="json").X
        distinct.update((text, None) for column in COLUMNS for text in texts(X[column]))
    line = usual_line(tokenizer, lowercase)
    X = pd.DataFrame({"prompt": list(distinct)})
    cleaner = NLTKCleaner(
        columns=["prompt"], tokenizer=tokenizer, lowercase=lowercase, keep_punctuation=True
    )
    pairs = zip(distinct, cleaner.fit_transform(X)["prompt"], strict=True)
    progress = tqdm(pairs, total=len(distinct), desc=tokenizer, unit="text", mininterval=2)
    return len(distinct), sum(line(text) != ours for text, ours in progress)


def compare_every_text(folder):
    """Report how many texts differ, and end with an error if any does."""
    rows = []
    for tokenizer, lowercase in COMPARED:
        n_texts, unequal = count_unequal(folder, tokenizer, lowercase)
        row = {"tokenizer": tokenizer, "lower-case": lowercase, "distinct texts": n_texts}
        rows.append(row | {"unequal texts": unequal})
    report("cleaner_parity", rows, "Every text of every file.")
    if any(row["unequal texts"] for row in rows):
        raise SystemExit("NLTKCleaner and NLTK differ.")


def processes(folder, rows, tokenizer, repeats=9):
    """Time one and two processes in turn; give medians by number of processes and by memory.

    `"start"` is with workers still to be started, `"empty"` with an empty memory of chunks, and
    `"full"` with the memory of earlier runs. Either of the two workers may get the work, so three
    more runs come before `"full"` is timed. Times are wall seconds: nothing else should be running.
    """
    X = read(folder, rows)
    times = collections.defaultdict(list)
    cleaner = NLTKCleaner(tokenizer=tokenizer).fit(X.iloc[:1])
    for turn in range(repeats):
        for jobs in (1, 2):
            # Other stop words are another memory, so that every turn starts without any.
            cleaner.set_params(stop_words=[f"start{turn}{jobs}"], n_jobs=jobs)
            if jobs == 2:
                get_reusable_executor(max_workers=2).shutdown()
                times[2, "start"].append(timed(cleaner.transform, X))
                again(cleaner.transform, X)
            cleaner.set_params(stop_words=[f"empty{turn}{jobs}"])
            times[jobs, "empty"].append(timed(cleaner.transform, X))
            again(cleaner.transform, X)
            times[jobs, "full"].append(timed(cleaner.transform, X))
    get_reusable_executor().shutdown()
    return {key: float(np.median(values)) for key, values in times.items()}


def apart(folder, rows, tokenizer, repeats=9):
    """Time two programs that clean half of the prompts each and share nothing.

    Gives the seconds of the slower one, the median of several runs with an empty memory: what two
    processes could reach at best on this machine, whatever they told each other.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    for half, (_, sender) in enumerate(pipes):
        arguments = (sender, barrier, folder, rows, tokenizer, half, repeats)
        context.Process(target=_clean_half, args=arguments, daemon=True).start()
        sender.close()
    seconds = [receiver.recv() for receiver, _ in pipes]
    return float(np.median(np.max(seconds, axis=0)))


def _clean_half(sender, barrier, folder, rows, tokenizer, half, repeats):
    X = read(folder, rows).sort_values("prompt", kind="stable")
    lengths = np.cumsum(sum(X[column].str.len() for column in COLUMNS))
    X = X[(lengths <= lengths.iloc[-1] / 2) == (half == 0)]
    cleaner = NLTKCleaner(tokenizer=tokenizer).fit(X.iloc[:1])
    seconds = []
    for turn in range(repeats):
        cleaner.set_params(stop_words=[f"empty{turn}"]).transform(X.iloc[:1])
        barrier.wait()
        seconds.append(timed(cleaner.transform, X))
    sender.send(seconds)


def again(function, *arguments):
    """Call a function three times."""
    for _ in range(3):
        function(*arguments)


def timed(function, *arguments):
    """Give the wall seconds of a call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def memory(folder, rows, tokenizer, file):
    """Give the text's size before and after, and the peak that cleaning adds once it is read."""
    X = read(folder, rows, file)
    cleaner = NLTKCleaner(tokenizer=tokenizer)
    cleaner.fit_transform(X.iloc[:100])
    forget_peak()
    before = peak_memory()
    cleaned = cleaner.transform(X)
    peak = peak_memory()
    size = [sum(map(len, frame.to_numpy().ravel())) / 2**20 for frame in (X, cleaned)]
    return *size, peak - before


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data(parser)
    parser.add_argument("--every-text", action="store_true", help="compare all, measure nothing")
    parser.add_argument("--rows", type=int, default=3000, help="battles to clean; 0: all")
    options = parser.parse_args(argv)
    if options.data is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return
    try:
        usual_line("punkt")
    except LookupError:
        print("Skipped: NLTK_DATA must hold stopwords, wordnet and punkt_tab.")
        return
    if options.every_text:
        compare_every_text(options.data)
        return
    rows = options.rows or "all"
    table = []
    for tokenizer in TOKENIZERS:
        result = in_fresh_process(compare, options.data, options.rows, tokenizer)[0]
        ours, usual, unequal = result
        row = {"tokenizer": tokenizer, "usual line (CPU s)": usual, "NLTKCleaner (CPU s)": ours}
        table.append(row | {"times faster": usual / ours, "unequal texts": unequal})
    report("cleaner_speed", table, f"{rows} battles of judge_unique, all three columns.")
    table = []
    for tokenizer in TOKENIZERS:
        times = in_fresh_process(processes, options.data, options.rows, tokenizer)[0]
        for memory_is in ("start", "empty", "full"):
            one, two = times[1, "empty" if memory_is == "start" else memory_is], times[2, memory_is]
            row = {"tokenizer": tokenizer, "workers": WORKERS[memory_is]}
            row |= {"1 process (s)": one, "2 processes (s)": two, "times faster": one / two}
            table.append(row)
        one, two = times[1, "empty"], apart(options.data, options.rows, tokenizer)
        row = {"tokenizer": tokenizer, "workers": "none: two programs, half each"}
        row |= {"1 process (s)": one, "2 processes (s)": two, "times faster": one / two}
        table.append(row)
    note = "Wall time, which needs two idle cores."
    report("cleaner_jobs", table, f"{rows} battles of judge_unique. {note}")
    table = []
    for tokenizer, file in itertools.product(TOKENIZERS, ("judge_unique", "judge_57k")):
        arguments = (options.data, options.rows, tokenizer, f"{file}.parquet")
        read_mib, clean_mib, added = in_fresh_process(memory, *arguments)[0]
        row = {"tokenizer": tokenizer, "file": file, "text read (MiB)": read_mib}
        table.append(row | {"text cleaned (MiB)": clean_mib, "peak added (MiB)": added})
    report("cleaner_memory", table, f"{rows} battles; the cleaned text is part of the peak.")


if __name__ == "__main__":
    main()
