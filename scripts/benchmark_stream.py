"""Latency of live talking pictures, and agreement of streamed motion with that of complete recordings.

python scripts/benchmark_stream.py
python scripts/benchmark_stream.py --grid data/grid --ravdess data/ravdess_landmarks    # also against real lips (validation)
"""

from __future__ import annotations

import argparse

from emotalker.core.cli import fraction, picture_size, run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", help="recording (default: the demo's), repeated or cut to --seconds")
    parser.add_argument("--image", help="portrait (default: the demo's, from scikit-image)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of audio (default: %(default)s)")
    parser.add_argument("--size", type=picture_size, default=512, help="width and height in pixels (default: %(default)s)")
    parser.add_argument("--look-ahead", type=fraction, default=0.1, help="seconds of sound after a hop (default: 0.1)")
    parser.add_argument("--threads", type=int, default=1, help="of torch and OpenCV (default: %(default)s)")
    parser.add_argument("--grid", help="prepared GRID corpus")
    parser.add_argument("--ravdess", help="prepared RAVDESS corpus")
    parser.add_argument("--clips", type=int, default=12, help="of each corpus (default: %(default)s)")
    parser.add_argument("--look-aheads", type=fraction, nargs="+", default=[0.1], help="for the comparison with real lips")
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from importlib.resources import files
    from pathlib import Path

    import cv2
    import numpy as np
    import torch

    from emotalker import TalkingHead
    from emotalker.audio.io import SAMPLE_RATE, load_audio
    from emotalker.evaluation import streaming
    from emotalker.evaluation.lips import MouthOpening
    from emotalker.evaluation.motion import choose_clips, neutral_references, open_corpus
    from emotalker.evaluation.tables import markdown_table
    from emotalker.face.model import FaceModel
    from emotalker.inference.hearing import WINDOW_SECONDS
    from emotalker.inference.motion_stream import FACE_DELAY
    from emotalker.models.vqvae import FRAMES_PER_CODE
    from emotalker.video.image import load_image

    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    samples = load_audio(args.audio or Path(str(files("emotalker") / "assets" / "demo.flac")))
    samples = np.resize(samples, round(args.seconds * SAMPLE_RATE))
    if args.image:
        image = load_image(args.image)
    else:
        from skimage import data

        image = data.astronaut()
    talking_head, rows = TalkingHead.from_pretrained(args.checkpoints), {}
    for name, clock in (("processor time", streaming.ProcessorClock()), ("wall time", streaming.WallClock())):
        stream = talking_head.stream(image, size=args.size, look_ahead=args.look_ahead)
        list(talking_head.stream(image, size=64).frames([samples[:16000]]))  # the first calls of the networks are slower
        rows[name] = streaming.measure_latency(stream, samples, clock)
    print(streaming.latency_table(rows))
    hop, face = stream.latency - args.look_ahead, FACE_DELAY * FRAMES_PER_CODE / stream.fps
    print(
        f"From the last sample that a frame shows to the frame, at {args.size} px, {args.threads} threads.\n"
        f"The limit for the first is 300 ms. Frames wait up to {1000 * stream.latency:.0f} ms for sound:\n"
        f"{1000 * hop:.0f} ms for the end of their hop, {1000 * args.look_ahead:.0f} ms of look-ahead.\n"
        f"Brows, eyes and head follow the lips by {1000 * face:.0f} ms; emotion is that of the last {WINDOW_SECONDS:g} s.\n"
    )
    generator, opening = talking_head.generator, MouthOpening(FaceModel.load())
    reference = np.zeros(generator.space.dim, np.float32)
    header = ["streamed against complete", "jawOpen r", "lip gap r", "same emotion"]
    same = streaming.agreement(generator, samples, reference, opening, look_ahead=args.look_ahead)
    print(markdown_table(header, [[f"{args.seconds:g} s", *same]]))
    for name, root in (("GRID", args.grid), ("RAVDESS", args.ravdess)):
        if root:
            corpus = open_corpus(root)
            clips = choose_clips(corpus.split("val"), args.clips)
            found = streaming.against_real(generator, clips, neutral_references(corpus), opening, args.look_aheads)
            print(f"\n{markdown_table([f'{name}, {len(clips)} validation clips', 'jawOpen r', 'lip gap r'], found)}")


if __name__ == "__main__":
    run(main)
