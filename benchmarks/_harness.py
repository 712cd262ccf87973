"""What every benchmark shares: where the data is, fresh processes, and tables in two formats."""

import argparse
import json
import multiprocessing
import os
import pathlib
import platform
import re
import sys
import time

from joblib.externals.loky import get_reusable_executor

try:
    import resource
except ImportError:  # Windows
    resource = None

RESULTS = pathlib.Path(__file__).parent / "results"


def data_folder(argv=None):
    """Read `--data` alone."""
    parser = argparse.ArgumentParser()
    add_data(parser)
    return parser.parse_args(argv).data


def add_data(parser):
    """Add `--data FOLDER` (default: the environment variable ARENA_DATA); None when absent."""
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        type=_folder,
        default=os.environ.get("ARENA_DATA"),
        help="where judge_unique.parquet and other battles are (default: what ARENA_DATA says)",
    )


def _folder(text):
    if text and not pathlib.Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"no such folder: {text}")
    return pathlib.Path(text) if text else None


def peak_memory():
    """Give the peak resident memory of this process in MiB.

    Linux keeps the parent's peak in `ru_maxrss` when a process is spawned, so it is read from the
    process's own status there. It is 0 where the system does not tell (Windows).
    """
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    if resource is None:
        return 0.0
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of bytes, or of KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def memory_of_tree(pid):
    """Give the memory of a process and all it has started in MiB, shared pages counted once.

    It is 0 where the system does not tell (anywhere but on Linux).
    """
    children = {}
    for file in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(file.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(file.parent.name))
    found, waiting = 0, [pid]
    while waiting:
        waiting += children.get(one := waiting.pop(), [])
        try:
            rollup = pathlib.Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        pss = re.search(r"^Pss:\s+(\d+) kB", rollup, re.M)
        found += int(pss[1]) if pss else 0
    return found / 1024


def forget_peak():
    """Let `peak_memory` count from now, where it can (Linux)."""
    file = pathlib.Path("/proc/self/clear_refs")
    if file.exists():
        file.write_text("5")


def _child(connection, function, arguments):
    base = peak_memory()
    start = time.perf_counter()
    result = function(*arguments)
    connection.send((result, time.perf_counter() - start, peak_memory(), base))
    connection.close()
    get_reusable_executor().shutdown()  # joblib's workers would keep the exit waiting


def in_fresh_process(function, *arguments):
    """Call a module-level function in a new process.

    Returns
    -------
    result : object
        What the function returned (it is pickled).
    seconds : float
        Wall time of the call, not counting the start of Python and the import of the module.
    peak : float
        Peak memory in MiB of the process or, if that is more, of it and the processes it started
        together, sampled once a second.
    base : float
        The process's peak before the call in MiB, so that `peak - base` is what the call added.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, function, arguments))
    process.start()
    sender.close()
    tree = 0.0
    try:
        while not receiver.poll(1.0):
            tree = max(tree, memory_of_tree(process.pid))
        result, seconds, peak, base = receiver.recv()
        return result, seconds, max(peak, tree), base
    except EOFError:
        process.join()
        raise RuntimeError(f"{function.__name__} ended with exit code {process.exitcode}") from None
    finally:
        process.join()


def report(name, rows, note=""):
    """Print rows as a Markdown table and write results/NAME.md and results/NAME.json."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(key, "")) for key in columns) + " |" for row in rows]
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    text = "\n".join([f"# {name}", "", *lines, "", f"{note} Measured on {machine}.".strip(), ""])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    content = {"name": name, "machine": machine, "note": note, "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(text, flush=True)


def _cell(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
