"""From corpora to a folder of weights: prepare, train every stage, export. Run it again to continue where it was stopped.

emotalker train all --data ../shared/data                 # all corpora
emotalker train all --data ../shared/data --permissive    # only those that allow commercial use
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from emotalker.core.errors import EmoTalkerError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--data", type=Path, required=True, help="folder that contains the corpora, one folder each")
    parser.add_argument(
        "--permissive", action="store_true", help="use only corpora that allow commercial use; they have no emotional faces"
    )
    parser.add_argument(
        "--prepared", type=Path, default=Path("data"), help="output folder of prepared corpora (default: %(default)s)"
    )
    parser.add_argument("--runs", type=Path, help="output folder of the runs (default: runs/small or runs/permissive)")
    parser.add_argument(
        "--output", type=Path, help="output folder of the weights (default: checkpoints/small or checkpoints/permissive)"
    )
    parser.add_argument("--override", nargs="*", default=[], help="for every stage, e.g. steps=50 threads=1")


def main(args: argparse.Namespace) -> None:
    """Run all steps."""
    name = "permissive" if args.permissive else "small"
    runs, output = args.runs or Path("runs") / name, args.output or Path("checkpoints") / name

    def step(command: str, *arguments: str) -> None:
        print("$ emotalker", command, *arguments, file=sys.stderr, flush=True)
        if subprocess.run([sys.executable, "-m", "emotalker", *command.split(), *arguments], check=False).returncode:
            raise EmoTalkerError(
                f"emotalker {command} failed; fix the error above and run this again, completed steps are kept"
            )

    corpora = {"grid": args.data / "grid_s1"}
    if not args.permissive:
        corpora |= {"javanese": args.data / "javanese", "ravdess_landmarks": args.data}
    for corpus, root in corpora.items():
        step("prepare", f"corpus={corpus}", f"root={root}", f"out={args.prepared / corpus}")
    prepared = "data.root=[" + ",".join(str(args.prepared / corpus) for corpus in corpora) + "]"
    recordings = ["data.corpora=[grid,facegood,javanese]"] if args.permissive else []
    encoder, vqvae, sync = runs / "audio_encoder", runs / "vqvae", runs / "sync"

    step("train audio_encoder", f"data.root={args.data}", f"run={encoder}", *recordings, *args.override)
    if not args.permissive:
        own = (f"data.root={args.data}", f"data.encoder={encoder / 'best.safetensors'}")
        step("train emotion_recognizer", *own, f"run={runs / 'emotion_recognizer'}", *args.override)
    step("train vqvae", prepared, f"run={vqvae}", *args.override)
    best = [f"vqvae={vqvae / 'best.safetensors'}", f"encoder={encoder / 'best.safetensors'}"]
    step("train transformer", prepared, f"run={runs / 'transformer'}", *best, *args.override)
    step("train sync", prepared, f"run={sync}", *args.override)
    step("train lip", prepared, f"run={runs / 'lip'}", f"sync={sync / 'best.safetensors'}", *args.override)
    if not args.permissive:
        step("train expression", "--data", str(args.prepared / "ravdess_landmarks"), "--runs", str(runs))
        judged = {
            "facegood": ("corpus=facegood",),
            "styletalk": ("corpus=pack", "corpus.source=StyleTalk", "corpus.licence=research use"),
        }
        for corpus, options in judged.items():
            step("prepare", *options, f"root={args.data / corpus}", f"out={args.prepared / corpus}")
        own = "data.root=[" + ",".join(str(args.prepared / corpus) for corpus in judged) + "]"
        others = prepared.replace("data.root", "data.validation_root")
        step("train sync_judge", own, others, f"run={runs / 'sync_judge'}", best[1], *args.override)
    step("train export", "--runs", str(runs), "--output", str(output))
