"""Damage the files that EmoTalker reads, at random, and report what is not answered by one of its own errors.

python -m tests.fuzz --seconds 600 --seed 0
python -m tests.fuzz --only image --number 1234        # one input again, in this process, with its traceback

Every input is made from a small valid file by a seeded sequence of changes, so its number tells everything about it.
Child processes read the inputs. A finding is a crash, an exception that is no EmoTalkerError, more than 10 s, more than
2 GB, a file written or removed outside the output folder, or a network connection. Exit status 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.runner import Fuzzer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--seconds", type=float, default=60, help="(default: %(default)s)")
    parser.add_argument("--inputs", type=int, help="stop after so many inputs")
    parser.add_argument("--seed", type=int, default=0, help="of the whole sequence (default: %(default)s)")
    parser.add_argument("--only", nargs="+", help="targets (default: all)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--number", type=int, help="read this one input of the first target of --only, here")
    parser.add_argument("--keep", type=Path, help="folder for the inputs of findings")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), args.seed, args.only)
        if args.number is not None:
            fuzzer.replay(args.only[0], args.number)
            return
        report = fuzzer.run(args.seconds, args.inputs, args.workers, args.keep)
    print(report)
    sys.exit(bool(report.findings))


if __name__ == "__main__":
    main()
