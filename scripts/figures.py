"""The supplement's figures, from the shipped weights and the corpora at hand.

python scripts/figures.py identities --output docs/figures/identities.jpg            # Fig. 3: one sentence, several heads
python scripts/figures.py codebook --data data/ravdess_landmarks data/javanese --output docs/figures/codebook.png   # Fig. 4
python scripts/figures.py pitch --data data/ravdess_landmarks data/javanese --output docs/figures/pitch.png         # Fig. 5
python scripts/figures.py samples --output docs/figures/samples.jpg                  # several samples of one sentence

Figs. 1 and 2, control by references: scripts/evaluate_control.py. Fig. 6: scripts/study.py. Data: scripts/describe_data.py.
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=["identities", "codebook", "pitch", "samples"])
    parser.add_argument("--output", required=True, help="picture to write")
    parser.add_argument("--audio", help="sentence of identities and samples (default: the demo's)")
    parser.add_argument("--image", nargs="+", help="portraits of identities, portrait of samples (default: the demo's)")
    parser.add_argument("--data", nargs="+", default=[], help="prepared corpora of codebook and pitch")
    parser.add_argument("--samples", type=int, default=5, help="number of samples (default: %(default)s)")
    parser.add_argument("--columns", type=int, default=8, help="frames of a row (default: %(default)s)")
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    FIGURES[args.figure](args)
    print(f"wrote {args.output}")


def identities(args: argparse.Namespace) -> None:
    from emotalker.evaluation.paper_figures import identity_sheet
    from emotalker.render.mesh_renderer import Head
    from emotalker.video.image import save_image

    heads = {}
    for name, image in pictures(args.image):
        video = talking_head(args).generate(args.audio or demo_voice(), image)
        heads[name] = Head.of(video.portrait)
    model = video.portrait.model
    heads |= {"average": Head.average(model), "random 1": Head.random(model, 1), "random 2": Head.random(model, 2)}
    motion = video.motion.coefficients
    save_image(args.output, identity_sheet(motion, heads, instants(len(motion), args.columns)))


def codebook(args: argparse.Namespace) -> None:
    from emotalker.core.checkpoint import load_checkpoint, shipped
    from emotalker.evaluation.paper_figures import CodeUse, save_codebook_figure
    from emotalker.face.model import FaceModel

    folder = Path(args.checkpoints) if args.checkpoints else shipped("small")
    vqvae = load_checkpoint(folder / "vqvae.safetensors", "vqvae").eval()
    use = CodeUse.measure(vqvae, held_out(args.data))
    save_codebook_figure(args.output, vqvae, use, FaceModel.load())
    print(f"perplexity {use.perplexity:.0f}, purity {use.purity:.3f}, by chance {use.chance:.3f}")


def pitch(args: argparse.Namespace) -> None:
    from emotalker.data.shards import Corpus
    from emotalker.evaluation.paper_figures import pitch_by_emotion, save_pitch_figure

    found = {Path(root).name: pitch_by_emotion(Corpus(root).clips) for root in args.data}
    save_pitch_figure(args.output, found)
    for name, pitches in found.items():
        print(
            f"{name}: " + ", ".join(f"{emotion} {-values.mean():+.1f}" for emotion, values in pitches.items()) + " degrees up"
        )


def samples(args: argparse.Namespace) -> None:
    import numpy as np

    from emotalker.evaluation.paper_figures import diversity
    from emotalker.video.image import save_image
    from emotalker.video.sheet import draw_label, frame_grid

    ((_, image),) = pictures(args.image)[:1]
    rows, motions = [], []
    for seed in range(args.samples):
        video = talking_head(args).generate(args.audio or demo_voice(), image, seed=seed)
        chosen = set(instants(len(video), args.columns))
        row = frame_grid([frame for t, frame in enumerate(video) if t in chosen], len(chosen), 200)
        draw_label(row, f"seed {seed}")
        rows.append(row)
        motions.append(video.motion.coefficients)
    save_image(args.output, np.concatenate(rows))
    space = video.motion.space
    lips = diversity([motion[:, space.lip] for motion in motions])
    brows = diversity([motion[:, space.indices(["browInnerUp", "browDownLeft", "browOuterUpLeft"])] for motion in motions])
    head = np.degrees(diversity([motion[:, space.pose][:, :3] for motion in motions]))
    print(f"between samples: lips {lips:.3f}, brows {brows:.3f}, head {head:.2f} degrees")


def held_out(roots: list[str]) -> list:
    """Clips of validation and test."""
    from emotalker.data import load_clips

    return [clip for split in ("val", "test") for clip in load_clips(roots, split, "arkit")]


def pictures(paths: list[str] | None) -> list:
    """Names and pictures, ``(H, W, 3)`` uint8 RGB."""
    from emotalker.video.image import load_image

    if paths:
        return [(Path(path).stem, load_image(path)) for path in paths]
    from skimage import data

    return [("photo", data.astronaut())]


def instants(frames: int, columns: int) -> list[int]:
    return [round(frames * (i + 0.5) / columns) for i in range(columns)]


def demo_voice() -> Path:
    return Path(str(files("emotalker") / "assets" / "demo.flac"))


def talking_head(args: argparse.Namespace, _loaded: list = []) -> object:  # noqa: B006, loaded once
    if not _loaded:
        from emotalker import TalkingHead

        _loaded.append(TalkingHead.from_pretrained(args.checkpoints))
    return _loaded[0]


FIGURES = {"identities": identities, "codebook": codebook, "pitch": pitch, "samples": samples}
run(main)
