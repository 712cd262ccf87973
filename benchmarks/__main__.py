"""Run every benchmark: `python -m benchmarks [--data FOLDER] [--all]`."""

import argparse
import pathlib
import subprocess
import sys

from benchmarks._harness import add_data

WITH_ENCODERS = ("bench_learning_curve", "bench_quality", "bench_transfer")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data(parser)
    parser.add_argument("--all", action="store_true", help="also what takes hours without a GPU")
    options = parser.parse_args(argv)
    scripts = sorted(pathlib.Path(__file__).parent.glob("bench_*.py"))
    failed = []
    for script in scripts:
        print(f"\n== {script.stem}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{script.stem}"]
        command += ["--data", str(options.data)] if options.data else []
        command += ["--all"] if options.all and script.stem in WITH_ENCODERS else []
        if subprocess.run(command, check=False).returncode:
            failed.append(script.stem)
    if failed:
        sys.exit(f"These benchmarks failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
