"""The commands that make videos: ``emotalker infer`` from a voice, ``emotalker render`` from a motion."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotalker.core.cli import Outcome, UsageError, device, fraction, seed
from emotalker.core.progress import OnProgress, unheard
from emotalker.core.suffixes import VIDEO_SUFFIXES
from emotalker.inference.options import (
    add_control_options,
    add_decoding_options,
    add_driving_options,
    add_extra_outputs,
    add_framing_options,
    add_renderer_options,
    add_rendering_options,
    add_style_options,
    control_from,
    driving_from,
    framing_from,
    performance_from,
    renderer_from,
    style_from,
)

if TYPE_CHECKING:
    from emotalker.coefficients import MotionTrack
    from emotalker.inference.animation import Animator, TalkingVideo
    from emotalker.inference.pipeline import TalkingHead

_OUTPUT = "outputs/talking.mp4"

MOTION_SUFFIXES = (".npz", ".csv")


def add_infer_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``emotalker infer``."""
    parser.add_argument("--output", default=_OUTPUT, help="video to write (default: %(default)s)")
    parser.add_argument("--audio", help="recording: any format FFmpeg reads, 0.2 s or longer")
    parser.add_argument("--image", help="portrait: an image with a face, or a video that is dubbed")
    parser.add_argument("--coefficients", metavar="O.NPZ", help="also write the motion to this file (.npz or .csv)")
    parser.add_argument("--write-emotion-track", metavar="E.CSV", help="also write the emotion that the face shows over time")
    parser.add_argument("--seed", type=seed, default=0, help="of all random numbers (default: %(default)s)")
    add_framing_options(parser)
    add_style_options(parser)
    add_control_options(parser)
    add_driving_options(parser)
    add_extra_outputs(parser)
    group = parser.add_argument_group("dubbing (--image is a video)")
    group.add_argument("--dub-end", choices=["ping-pong", "hold"], default="ping-pong", help="after the video's last frame")
    group.add_argument("--dub-expression", type=fraction, default=1.0, help="weight of the new voice's expression, 0 to 1")
    add_decoding_options(parser)
    add_renderer_options(parser)
    _add_common(parser)
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")


def add_render_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``emotalker render``."""
    parser.add_argument("--output", default=_OUTPUT, help="video to write (default: %(default)s)")
    parser.add_argument("--coefficients", help="motion: .npz, .csv (ours or Live Link Face's) or .glb")
    parser.add_argument("--image", help="portrait: an image with a face")
    parser.add_argument("--audio", help="recording of the video (default: silent)")
    add_framing_options(parser)
    add_rendering_options(parser)
    add_control_options(parser)
    add_extra_outputs(parser)
    add_renderer_options(parser)
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", type=device, default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or downloaded once)")
    group = parser.add_argument_group("lists")
    group.add_argument("--list", metavar="JOBS.CSV", help="run a row after the other; its columns are names of options")
    group.add_argument("--workers", type=int, default=1, help="processes for --list (default: %(default)s)")
    group.add_argument("--report", metavar="R.CSV", help="report of --list (default: JOBS.report.csv)")


def infer(args: argparse.Namespace, tell: OnProgress = unheard) -> Outcome:
    """Run ``emotalker infer``. EmoTalkerErrors say what cannot be used."""
    from emotalker.audio.io import SAMPLE_RATE, load_audio
    from emotalker.video.image import as_picture

    started = time.perf_counter()
    _require(args, ("audio", "image"), "; emotalker demo writes a video without files of yours")
    more = [(args.coefficients, MOTION_SUFFIXES), (args.write_emotion_track, (".csv",))]
    _check_outputs(args, more, inputs=[args.driving])
    style, performance = style_from(args), performance_from(args)
    framing, control, driving = framing_from(args), control_from(args), driving_from(args)
    dubbing = Path(args.image).suffix.lower() in VIDEO_SUFFIXES
    tell("reading", 0, None)
    audio = load_audio(args.audio), SAMPLE_RATE  # before the networks, because that takes seconds
    picture = args.image if dubbing else as_picture(args.image)
    tell("loading", 0, None)
    talking_head = _talking_head(args.checkpoints, args.device, args.landmarker)
    talking_head.make_renderer = renderer_from(args)
    options = {
        "seed": args.seed,
        "style": style,
        "decoding": args.decoding,
        "temperature": args.temperature,
        "performance": performance,
        "control": control,
        "driving": driving,
        "on_progress": tell,
    }
    if dubbing:
        dubbed = talking_head.dub(audio, args.image, ending=args.dub_end, expression=args.dub_expression, **options)
        if args.coefficients:
            dubbed.motion.save(args.coefficients)
        dubbed.save(args.output, lambda done, total: tell("rendering", done, total), mark=args.mark)
        values = {"output": args.output, "frames": len(dubbed), "fps": dubbed.fps, **_emotion(dubbed.motion)}
        return _outcome(dubbed.summary(args.output), values, started, coefficients=args.coefficients)
    video = talking_head.generate(audio, picture, **framing, keep_expression=args.keep_expression, **options)
    if args.coefficients:
        video.motion.save(args.coefficients)
    if args.write_emotion_track:
        video.emotion.save(args.write_emotion_track)
    values = _save(video, args, tell)
    files = {"coefficients": args.coefficients, "emotion_track": args.write_emotion_track}
    return _outcome(video.summary(args.output), values, started, **files)


def render(args: argparse.Namespace, tell: OnProgress = unheard) -> Outcome:
    """Run ``emotalker render``. EmoTalkerErrors say what cannot be used."""
    from emotalker.exchange.export import load_motion

    started = time.perf_counter()
    _require(args, ("coefficients", "image"))
    _check_outputs(args, [], inputs=[args.coefficients])
    motion, framing, control = load_motion(args.coefficients), framing_from(args), control_from(args)
    tell("loading", 0, None)
    animator = _animator(args.landmarker)
    animator.make_renderer = renderer_from(args)
    options = {"keep_expression": args.keep_expression, "control": control, "on_progress": tell}
    video = animator.animate(motion, args.image, args.audio, **framing, **options)
    values = _save(video, args, tell)
    return _outcome(video.summary(args.output), values, started)


def _require(args: argparse.Namespace, names: Sequence[str], hint: str = "") -> None:
    missing = [f"--{name}" for name in names if getattr(args, name) is None]
    if missing:
        raise UsageError(f"the following arguments are required: {', '.join(missing)}{hint}")


def _check_outputs(
    args: argparse.Namespace, more: Sequence[tuple[str | None, Sequence[str]]], inputs: Sequence[str | None] = ()
) -> None:
    """Before minutes of computation: OutputError if an output cannot be written or is an input, MissingExtraError if what
    draws it is not installed."""
    from emotalker.core.files import check_outputs
    from emotalker.inference.motion_plot import check_plotting
    from emotalker.video import writer

    if args.plot:
        check_plotting()
    if args.mesh and args.mesh_backend == "pytorch3d":
        from emotalker.face.rasterizer import check_pytorch3d

        check_pytorch3d()
    videos = () if args.background == "transparent" else writer.SUFFIXES  # framing_from checks those of transparent videos
    outputs = [(args.output, videos), (args.mesh, writer.SUFFIXES), (args.plot, (".png", ".svg", ".pdf")), *more]
    if args.image is not None:
        inputs = [*inputs, args.image, args.audio, args.ref_pose, args.ref_expression, args.ref_lips]
    check_outputs([(path, suffixes) for path, suffixes in outputs if path], inputs)


def _save(video: TalkingVideo, args: argparse.Namespace, tell: OnProgress) -> dict[str, Any]:
    """Write the video and what else was asked for; returns what machines want to know of it."""
    if args.plot:
        from emotalker.inference.motion_plot import save_motion_plot

        save_motion_plot(args.plot, video.motion, video.audio, video.emotion)
    video.save(args.output, lambda done, total: tell("rendering", done, total), mark=args.mark)
    if args.mesh:
        from emotalker.render.mesh_renderer import Head

        head = Head.named(args.mesh_identity, video.portrait)
        mesh = video.as_mesh(head, args.mesh_backend)
        mesh.save(args.mesh, lambda done, total: tell("rendering the head", done, total), mark=args.mark)
    width, height = video.framing.size
    return {
        "output": args.output,
        "frames": len(video),
        "fps": video.fps,
        "width": width,
        "height": height,
        "stages": {stage: round(seconds, 3) for stage, seconds in video.seconds.items()},
        **_emotion(video.motion),
        **{name: getattr(args, name) for name in ("mesh", "plot") if getattr(args, name)},
    }


def _emotion(motion: MotionTrack) -> dict[str, Any]:
    """Mean share of each emotion that a generated motion shows, and the mean strength."""
    from emotalker.core.emotions import EMOTIONS
    from emotalker.inference.generator import GeneratedMotion

    if not isinstance(motion, GeneratedMotion):
        return {}
    shares = motion.emotion.weights.mean(0)
    return {
        "emotion": {name: round(float(share), 4) for name, share in zip(EMOTIONS, shares, strict=True)},
        "strength": round(float(motion.emotion.strength.mean()), 4),
    }


def _outcome(summary: str, values: dict[str, Any], started: float, **files: str | None) -> Outcome:
    written = {name: path for name, path in files.items() if path}
    return Outcome(summary, {**values, **written, "seconds": round(time.perf_counter() - started, 3)})


@lru_cache(maxsize=1)
def _talking_head(checkpoints: str | None, device: str, landmarker: str | None) -> TalkingHead:
    from emotalker.inference.pipeline import TalkingHead

    return TalkingHead.from_pretrained(checkpoints, device, landmarker=landmarker)


@lru_cache(maxsize=1)
def _animator(landmarker: str | None) -> Animator:
    from emotalker.inference.animation import Animator

    return Animator.from_pretrained(landmarker=landmarker)
