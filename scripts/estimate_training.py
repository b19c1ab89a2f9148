"""Hours and memory of training, stage by stage, before it starts; measured on a few examples, no data needed.

python scripts/estimate_training.py                                # the paper's size
python scripts/estimate_training.py --preset small --tflops 30
python scripts/estimate_training.py batch_size=64                  # with other settings
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from emotalker.core.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=["paper", "small"], default="paper", help="(default: %(default)s)")
    parser.add_argument(
        "--space", choices=["arkit", "bfm"], default="arkit", help="of the coefficients (default: %(default)s)"
    )
    parser.add_argument(
        "--examples", type=int, default=4, help="that are measured and scaled to the batch (default: %(default)s)"
    )
    parser.add_argument(
        "--tflops", type=float, default=20.0, help="sustained rate of the other device, TFLOP/s (default: %(default)s)"
    )
    parser.add_argument("overrides", nargs="*", metavar="name=value", help="settings of all stages")
    args = parser.parse_args()

    from emotalker.evaluation.tables import markdown_table
    from emotalker.training.estimate import estimate_stages

    with tempfile.TemporaryDirectory() as folder:
        estimates = estimate_stages(Path(folder), args.preset, args.space, args.examples, args.overrides)
    rows = [
        [e.stage, f"{e.parameters / 1e6:.1f}", e.batch, e.steps, e.flops / 1e12, f"{e.memory / 1e9:.1f}",
         f"{e.hours():.1f}", f"{e.hours(1e12 * args.tflops):.1f}"]
        for e in estimates
    ]  # fmt: skip
    header = ["stage", "weights, M", "batch", "steps", "TFLOP a step", "memory, GB", "hours here"]
    print(markdown_table([*header, f"hours at {args.tflops:g} TFLOP/s"], rows))
    print("\nWithout loading of data, which several workers=N hide, and without validation.")


run(main)
