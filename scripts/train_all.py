"""From corpora to a folder of weights: prepare, train every stage, export. Run it again to continue where it was stopped.

python scripts/train_all.py --data ../shared/data                 # all corpora
python scripts/train_all.py --data ../shared/data --permissive    # only those that allow commercial use
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parent


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    parser.add_argument("--override", nargs="*", default=[], help="for every training script, e.g. steps=50 threads=1")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    name = "permissive" if args.permissive else "small"
    runs, output = args.runs or Path("runs") / name, args.output or Path("checkpoints") / name

    def step(script: str, *arguments: str) -> None:
        command = [sys.executable, str(SCRIPTS / script), *arguments]
        print("$ python", "scripts/" + script, *arguments, flush=True)
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"error: {script} failed; fix the error above and run this again, completed steps are kept")

    corpora = {"grid": args.data / "grid_s1"}
    if not args.permissive:
        corpora |= {"javanese": args.data / "javanese", "ravdess_landmarks": args.data}
    for corpus, root in corpora.items():
        step("prepare_data.py", f"corpus={corpus}", f"root={root}", f"out={args.prepared / corpus}")
    prepared = "data.root=[" + ",".join(str(args.prepared / corpus) for corpus in corpora) + "]"
    recordings = ["data.corpora=[grid,facegood,javanese]"] if args.permissive else []
    encoder, vqvae, sync = runs / "audio_encoder", runs / "vqvae", runs / "sync"

    step("train_audio_encoder.py", f"data.root={args.data}", f"run={encoder}", *recordings, *args.override)
    if not args.permissive:
        own = (f"data.root={args.data}", f"data.encoder={encoder / 'best.safetensors'}")
        step("train_emotion_recognizer.py", *own, f"run={runs / 'emotion_recognizer'}", *args.override)
    step("train_vqvae.py", prepared, f"run={vqvae}", *args.override)
    best = [f"vqvae={vqvae / 'best.safetensors'}", f"encoder={encoder / 'best.safetensors'}"]
    step("train_transformer.py", prepared, f"run={runs / 'transformer'}", *best, *args.override)
    step("train_sync.py", prepared, f"run={sync}", *args.override)
    step("train_lip.py", prepared, f"run={runs / 'lip'}", f"sync={sync / 'best.safetensors'}", *args.override)
    if not args.permissive:
        step("fit_expression.py", "--data", str(args.prepared / "ravdess_landmarks"), "--runs", str(runs))
        judged = {
            "facegood": ("corpus=facegood",),
            "styletalk": ("corpus=pack", "corpus.source=StyleTalk", "corpus.licence=research use"),
        }
        for corpus, options in judged.items():
            step("prepare_data.py", *options, f"root={args.data / corpus}", f"out={args.prepared / corpus}")
        own = "data.root=[" + ",".join(str(args.prepared / corpus) for corpus in judged) + "]"
        others = prepared.replace("data.root", "data.validation_root")
        step("train_sync_judge.py", own, others, f"run={runs / 'sync_judge'}", best[1], *args.override)
    step("export_checkpoints.py", "--runs", str(runs), "--output", str(output))


main()
