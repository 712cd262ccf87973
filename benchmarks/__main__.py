"""Run every benchmark: `python -m benchmarks [--data FOLDER]`."""

import pathlib
import subprocess
import sys


def main():
    scripts = sorted(pathlib.Path(__file__).parent.glob("bench_*.py"))
    failed = []
    for script in scripts:
        print(f"\n== {script.stem}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{script.stem}", *sys.argv[1:]]
        if subprocess.run(command, check=False).returncode:
            failed.append(script.stem)
    if failed:
        sys.exit(f"These benchmarks failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
