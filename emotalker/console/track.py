"""Track the face in a video: blendshapes and pose of every frame at 25 fps.

emotalker track --video v.mp4 --output c.npz --preview p.mp4
"""

from __future__ import annotations

import argparse

from emotalker.core.cli import Outcome


def face_choice(text: str) -> int | tuple[float, float]:
    """``2`` or ``310,140``."""
    x, *y = text.split(",")
    try:
        choice = (float(x), float(*y)) if y else int(x)
        if y or choice >= 1:
            return choice
    except (TypeError, ValueError):
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number from 1 nor a point x,y in pixels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--video", required=True, help="any video that FFmpeg decodes")
    parser.add_argument("--output", required=True, metavar="C.NPZ", help="file for the motion")
    parser.add_argument("--preview", metavar="P.MP4", help="also write the video next to a copy with the tracked mesh")
    parser.add_argument(
        "--face", type=face_choice, metavar="N|X,Y", help="N-th largest face or face at a point (default: the largest)"
    )
    parser.add_argument("--backend", choices=["mediapipe", "face-alignment"], default="mediapipe")
    parser.add_argument("--photographs", action="store_true", help="do not use the reader of synthetic faces")
    parser.add_argument("--landmarks", action="store_true", help="also save the landmarks")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or downloaded once)")


def main(args: argparse.Namespace) -> Outcome:
    """Track the face and write its motion.

    Raises:
        FaceNotFoundError: the video has no such face.
        VideoError: it cannot be decoded.
    """
    from emotalker.core.errors import FaceNotFoundError
    from emotalker.core.files import check_outputs
    from emotalker.core.progress import progress_bar
    from emotalker.synthetic.reader import SyntheticFaceReader
    from emotalker.tracking import Tracker
    from emotalker.tracking.backends import FaceAlignment, MediaPipe
    from emotalker.tracking.preview import write_preview
    from emotalker.video.reader import video_info
    from emotalker.video.writer import SUFFIXES

    outputs = [(args.output, (".npz",)), (args.preview, SUFFIXES)]
    check_outputs([(path, suffixes) for path, suffixes in outputs if path], [args.video])
    info = video_info(args.video)
    backend = MediaPipe(args.landmarker) if args.backend == "mediapipe" else FaceAlignment()
    tracker = Tracker(backend=backend, reader=None if args.photographs else SyntheticFaceReader.from_pretrained())
    with progress_bar(args.quiet or args.json) as progress:
        task = progress.add_task("tracking", total=info.duration)
        begin = progress.get_time()
        on_frame = lambda seconds: progress.update(task, completed=seconds)  # noqa: E731
        tracked = tracker.track(args.video, args.face, keep_landmarks=args.landmarks, on_frame=on_frame)
        seconds = progress.get_time() - begin
        if not tracked.valid.any():
            which = "" if args.face is None else " of that choice"
            raise FaceNotFoundError(f"no face{which} was found in {args.video}; is it upright and large enough?")
        tracked.save(args.output)
        if args.preview:
            progress.update(task, description="preview", completed=0, total=len(tracked))
            write_preview(tracked, args.video, args.preview, lambda done: progress.update(task, completed=done))
    text = (
        f"{args.output}: {tracked.summary()}\n"
        f"{info.frames} frames of {info.width} x {info.height} pixels tracked at {info.frames / seconds:.1f} frames/s"
    )
    values = {
        "output": args.output,
        "frames": len(tracked),
        "frames_with_face": int(tracked.valid.sum()),
        "fps": tracked.motion.space.fps,
        "seconds": round(seconds, 3),
    }
    return Outcome(text, values | ({"preview": args.preview} if args.preview else {}))
