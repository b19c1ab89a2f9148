"""The commands that make videos: ``scripts/infer.py`` from a voice, ``scripts/render.py`` from a motion, one or a list."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from emotalker.core.cli import device, fraction, seed
from emotalker.core.suffixes import VIDEO_SUFFIXES
from emotalker.inference.options import (
    add_control_options,
    add_decoding_options,
    add_extra_outputs,
    add_framing_options,
    add_renderer_options,
    add_rendering_options,
    add_style_options,
    control_from,
    framing_from,
    performance_from,
    renderer_from,
    style_from,
)

if TYPE_CHECKING:
    from emotalker.inference.animation import Animator, TalkingVideo
    from emotalker.inference.pipeline import TalkingHead

#: Reports progress: what is done, frames done, and their number or None.
Progress = Callable[[str, int, int | None], None]
MOTION_SUFFIXES = (".npz", ".csv")


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="outputs/talking.mp4", help="video to write (default: %(default)s)")
    return parser


def infer_parser() -> argparse.ArgumentParser:
    """Options of ``scripts/infer.py``."""
    parser = _parser(
        "Write a talking video from a voice recording and a portrait.\n\n"
        "python scripts/infer.py --audio voice.wav --image person.jpg --output talking.mp4\n\n"
        "With a video as --image, the video is dubbed: docs/control.md."
    )
    parser.add_argument("--audio", help="recording: any format FFmpeg reads, 0.2 s or longer")
    parser.add_argument("--image", help="portrait: an image with a face, or a video that is dubbed")
    parser.add_argument("--coefficients", metavar="O.NPZ", help="also write the motion to this file (.npz or .csv)")
    parser.add_argument("--write-emotion-track", metavar="E.CSV", help="also write the emotion that the face shows over time")
    parser.add_argument("--seed", type=seed, default=0, help="of all random numbers (default: %(default)s)")
    add_framing_options(parser)
    add_style_options(parser)
    add_control_options(parser)
    add_extra_outputs(parser)
    group = parser.add_argument_group("dubbing (--image is a video)")
    group.add_argument("--dub-end", choices=["ping-pong", "hold"], default="ping-pong", help="after the video's last frame")
    group.add_argument("--dub-expression", type=fraction, default=1.0, help="weight of the new voice's expression, 0 to 1")
    add_decoding_options(parser)
    add_renderer_options(parser)
    _add_common(parser)
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")
    return parser


def render_parser() -> argparse.ArgumentParser:
    """Options of ``scripts/render.py``."""
    parser = _parser(
        "Render a motion, which may have been edited, with a portrait.\n\n"
        "python scripts/render.py --coefficients m.csv --image person.jpg --audio voice.wav --output edited.mp4"
    )
    parser.add_argument("--coefficients", help="motion: .npz, .csv (ours or Live Link Face's) or .glb")
    parser.add_argument("--image", help="portrait: an image with a face")
    parser.add_argument("--audio", help="recording of the video (default: silent)")
    add_framing_options(parser)
    add_rendering_options(parser)
    add_control_options(parser)
    add_extra_outputs(parser)
    add_renderer_options(parser)
    _add_common(parser)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", type=device, default="cpu", help="cpu, cuda or mps (default: %(default)s)")
    parser.add_argument("--landmarker", help="path of face_landmarker.task (default: found or downloaded once)")
    group = parser.add_argument_group("lists")
    group.add_argument("--list", metavar="JOBS.CSV", help="run a row after the other; its columns are names of options")
    group.add_argument("--workers", type=int, default=1, help="processes for --list (default: %(default)s)")
    group.add_argument("--report", metavar="R.CSV", help="report of --list (default: JOBS.report.csv)")


def infer(arguments: Sequence[str], progress: Progress | None = None) -> str:
    """Run ``scripts/infer.py``; returns its summary. EmoTalkerErrors say what cannot be used."""
    from emotalker.audio.io import SAMPLE_RATE, load_audio
    from emotalker.video.image import load_image

    args = infer_parser().parse_args(arguments)
    _require(infer_parser(), args, ("audio", "image"))
    tell = progress or (lambda *_: None)
    _check_outputs(args, [(args.coefficients, MOTION_SUFFIXES), (args.write_emotion_track, (".csv",))])
    style, performance = style_from(args), performance_from(args)
    framing, control = framing_from(args), control_from(args)
    dubbing = Path(args.image).suffix.lower() in VIDEO_SUFFIXES
    audio = load_audio(args.audio), SAMPLE_RATE  # before the networks, because that takes seconds
    if not dubbing:
        load_image(args.image)
    tell("loading", 0, None)
    talking_head = _talking_head(args.checkpoints, args.device, args.landmarker)
    talking_head.make_renderer = renderer_from(args)
    tell("audio to motion", 0, None)
    options = {
        "seed": args.seed,
        "style": style,
        "decoding": args.decoding,
        "temperature": args.temperature,
        "performance": performance,
        "control": control,
    }
    if dubbing:
        dubbed = talking_head.dub(audio, args.image, ending=args.dub_end, expression=args.dub_expression, **options)
        if args.coefficients:
            dubbed.motion.save(args.coefficients)
        dubbed.save(args.output, lambda done, total: tell("rendering", done, total))
        return dubbed.summary(args.output)
    video = talking_head.generate(audio, args.image, **framing, keep_expression=args.keep_expression, **options)
    if args.coefficients:
        video.motion.save(args.coefficients)
    if args.write_emotion_track:
        video.emotion.save(args.write_emotion_track)
    return _save(video, args, tell)


def render(arguments: Sequence[str], progress: Progress | None = None) -> str:
    """Run ``scripts/render.py``; returns its summary. EmoTalkerErrors say what cannot be used."""
    from emotalker.exchange.export import load_motion

    args = render_parser().parse_args(arguments)
    _require(render_parser(), args, ("coefficients", "image"))
    tell = progress or (lambda *_: None)
    _check_outputs(args, [], inputs=[args.coefficients])
    motion, framing, control = load_motion(args.coefficients), framing_from(args), control_from(args)
    tell("loading", 0, None)
    animator = _animator(args.landmarker)
    animator.make_renderer = renderer_from(args)
    video = animator.animate(motion, args.image, args.audio, **framing, keep_expression=args.keep_expression, control=control)
    return _save(video, args, tell)


def _require(parser: argparse.ArgumentParser, args: argparse.Namespace, names: Sequence[str]) -> None:
    missing = [f"--{name}" for name in names if getattr(args, name) is None]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")


def _check_outputs(
    args: argparse.Namespace, more: Sequence[tuple[str | None, Sequence[str]]], inputs: Sequence[str | None] = ()
) -> None:
    """Before minutes of computation: OutputError if an output cannot be written or is an input."""
    from emotalker.core.files import check_outputs
    from emotalker.video import alpha, writer

    videos = tuple(alpha.FORMATS) if args.background == "transparent" else writer.SUFFIXES
    outputs = [(args.output, videos), (args.mesh, writer.SUFFIXES), (args.plot, (".png", ".svg", ".pdf")), *more]
    if args.image is not None:
        inputs = [*inputs, args.image, args.audio, args.ref_pose, args.ref_expression, args.ref_lips]
    check_outputs([(path, suffixes) for path, suffixes in outputs if path], inputs)


def _save(video: TalkingVideo, args: argparse.Namespace, tell: Progress) -> str:
    """Write the video and what else was asked for; returns the summary."""
    if args.plot:
        from emotalker.inference.motion_plot import save_motion_plot

        save_motion_plot(args.plot, video.motion, video.audio, video.emotion)
    video.save(args.output, lambda done, total: tell("rendering", done, total))
    if args.mesh:
        from emotalker.render.mesh_renderer import Head

        head = Head.named(args.mesh_identity, video.portrait)
        video.as_mesh(head).save(args.mesh, lambda done, total: tell("rendering the head", done, total))
    return video.summary(args.output)


@lru_cache(maxsize=1)
def _talking_head(checkpoints: str | None, device: str, landmarker: str | None) -> TalkingHead:
    from emotalker.inference.pipeline import TalkingHead

    return TalkingHead.from_pretrained(checkpoints, device, landmarker)


@lru_cache(maxsize=1)
def _animator(landmarker: str | None) -> Animator:
    from emotalker.inference.animation import Animator

    return Animator.from_pretrained(landmarker)


def run_command(command: Callable[..., str], parser: argparse.ArgumentParser, required: Sequence[str]) -> None:
    """Run a command once, or for every row of ``--list``, with a progress bar.

    Args:
        command: :func:`infer` or :func:`render`.
        parser: its options.
        required: columns that a list must have.
    """
    from emotalker.core.progress import progress_bar

    arguments = sys.argv[1:]
    args = parser.parse_args(arguments)
    with progress_bar() as progress:
        task = progress.add_task("starting", total=None)
        if args.list:
            _run_list(
                args, arguments, command, required, lambda done, total: progress.update(task, completed=done, total=total)
            )
            return
        summary = command(
            arguments,
            lambda what, done, total: progress.update(task, description=what, completed=done, total=total),
        )
    print(summary)


def _run_list(
    args: argparse.Namespace,
    arguments: Sequence[str],
    command: Callable[..., str],
    required: Sequence[str],
    on_job: Callable[[int, int], None],
) -> None:
    from emotalker.core.jobs import FAILED, read_jobs, resume, run_jobs

    report = args.report or os.fspath(Path(args.list).with_suffix(".report.csv"))
    jobs = read_jobs(args.list, required)
    resume(jobs, report)
    done = sum(bool(job.status) for job in jobs)
    for job in run_jobs(jobs, partial(_job, command, _without_list(arguments)), report, max(1, args.workers)):
        done += 1
        on_job(done, len(jobs))
        print(f"{job.options.get('output', '')}: {job.message}")
    failed = sum(job.status == FAILED for job in jobs)
    print(f"{len(jobs) - failed} of {len(jobs)} done; {report} lists them")
    if failed:
        sys.exit(1)


def _job(command: Callable[..., str], common: Sequence[str], own: list[str]) -> str:
    """One row: its options follow those of the command line, so they win."""
    return command([*common, *own])


def _without_list(arguments: Sequence[str]) -> list[str]:
    """The command line without the options of lists."""
    kept, skip = [], False
    for argument in arguments:
        name = argument.split("=", 1)[0]
        if skip:
            skip = False
        elif name in ("--list", "--workers", "--report"):
            skip = "=" not in argument
        else:
            kept.append(argument)
    return kept
