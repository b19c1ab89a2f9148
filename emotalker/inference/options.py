"""Command-line options of inference. Heavy imports are inside functions, so that ``--help`` is fast."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from emotalker.core.cli import Renamed, amplitude, blink_rate, fraction, mark, picture_size, positive

if TYPE_CHECKING:
    from emotalker.coefficients import MotionTrack
    from emotalker.inference.control import Control
    from emotalker.inference.performance import PerformanceConfig
    from emotalker.inference.style import Style
    from emotalker.render.base import RendererFactory


def add_style_options(parser: argparse.ArgumentParser) -> None:
    """Options of :class:`~emotalker.inference.style.Style`."""
    group = parser.add_argument_group("style (default: the emotion of the voice)")
    group.add_argument("--emotion", help="replace the recognised emotion: happy, or a mix such as sad:0.6,angry:0.2")
    group.add_argument(
        "--emotion-track",
        metavar="E.CSV",
        help="the emotion over time, instead of --emotion: columns time,emotion,share or time,valence,arousal, "
        "and strength if known",
    )
    group.add_argument(
        "--intensity", type=amplitude, default=1.0, help="intensity of the emotion, 0 to 3 (default: %(default)s)"
    )
    group.add_argument("--expression", type=amplitude, default=1.0, help="amplitude of brows, eyelids and cheeks, 0 to 3")
    group.add_argument("--head", type=amplitude, default=1.0, help="amplitude of head motion, 0 to 3; 0 keeps it still")
    group.add_argument("--lips", type=amplitude, default=1.0, help="amplitude of lips and jaw, 0 to 3")
    group.add_argument("--blinks", type=blink_rate, help="blinks per minute, 0 to 120 (default: as predicted)")
    _add_rendering(group)


def add_rendering_options(parser: argparse.ArgumentParser) -> None:
    """What :func:`add_style_options` has about the picture, for commands without a voice."""
    _add_rendering(parser.add_argument_group("rendering"))


def _add_rendering(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--shading",
        type=amplitude,
        default=1.5,
        help="strength of folds of the skin, 0 to 3; 1 is the mean of the people measured (default: %(default)s)",
    )
    group.add_argument(
        "--keep-expression",
        type=fraction,
        default=0.0,
        help="share of the picture's own smile, open mouth or raised brows that is kept, 0 to 1 (default: %(default)s)",
    )


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """Options of the decoding and of :class:`~emotalker.inference.performance.PerformanceConfig`."""
    group = parser.add_argument_group("decoding")
    group.add_argument("--decoding", choices=["continuous", "nearest", "sample"], default="sample")
    group.add_argument(
        "--temperature", type=positive, default=1.0, help="temperature of sampled codes (default: %(default)s)"
    )
    group.add_argument(
        "--sampling-weight", type=fraction, help="weight of sampled motion in brows and head, 0 to 1 (default: 0.4)"
    )
    group.add_argument("--liveliness", type=fraction, action=Renamed, new="--sampling-weight")
    group.add_argument(
        "--without", action="append", default=[], metavar="STEP", help="switch off a step of docs/method.md 9; repeatable"
    )


def add_framing_options(parser: argparse.ArgumentParser) -> None:
    """What the video shows and its format: arguments of :meth:`emotalker.TalkingHead.generate`."""
    group = parser.add_argument_group("framing")
    group.add_argument(
        "--framing",
        choices=["crop", "full"],
        default="crop",
        help="crop: head and shoulders in a square; full: the whole picture, in which only the person moves (default: crop)",
    )
    group.add_argument(
        "--size",
        type=picture_size,
        help="pixels: sides of the square (default: 512), or longer side of the whole picture (default: its own, up to 4K)",
    )
    group.add_argument(
        "--fps", type=int, choices=[25, 30, 50, 60], default=25, help="frames per second (default: %(default)s)"
    )
    group.add_argument("--face", type=int, metavar="N", help="which face, counted from 1 at the left (default: the largest)")
    group.add_argument(
        "--background",
        metavar="B",
        help="replaces the background: a colour (#rrggbb or its name), a picture, or transparent (.mov or .webm)",
    )
    group.add_argument("--mark", type=mark, metavar="TEXT", help='visible in every frame, for example "AI generated"')


def framing_from(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :meth:`emotalker.TalkingHead.generate` from :func:`add_framing_options`.

    Raises:
        FramingError: the background is unknown.
        OutputError: the output, ``args.output``, cannot be transparent.
    """
    from emotalker.inference.framing import Background
    from emotalker.video.alpha import check_alpha_suffix

    background = Background.parse(args.background) if args.background else None
    if background and background.transparent:
        check_alpha_suffix(args.output)
    return {"framing": args.framing, "size": args.size, "fps": args.fps, "face": args.face, "background": background}


def add_renderer_options(parser: argparse.ArgumentParser) -> None:
    """Options of the renderer and of what follows it."""
    group = parser.add_argument_group("renderer")
    group.add_argument("--renderer", choices=["warp", "neural"], default="warp", help="(default: %(default)s)")
    group.add_argument(
        "--renderer-checkpoint", metavar="R.SAFETENSORS", help="network of --renderer neural (default: the shipped one)"
    )
    group.add_argument("--enhancer", choices=["gfpgan"], help="restore the face in every frame; slow without a GPU")
    group.add_argument("--enhancer-weights", metavar="G.PTH", help="weights of --enhancer, from their authors")


def renderer_from(args: argparse.Namespace) -> RendererFactory:
    """The renderer from :func:`add_renderer_options`, ``--shading`` and ``--device``.

    Raises:
        CheckpointError: weights are missing or are others.
        MissingExtraError: the enhancer's package is not installed.
    """
    from functools import partial

    from emotalker.core.errors import CheckpointError
    from emotalker.render.enhancer import EnhancedRenderer, Gfpgan
    from emotalker.render.neural_renderer import renderer_factory

    factory = renderer_factory(args.renderer, args.renderer_checkpoint, args.shading, args.device)
    if args.enhancer is None:
        return factory
    if args.enhancer_weights is None:
        raise CheckpointError("--enhancer gfpgan needs the network's weights; give GFPGANv1.4.pth with --enhancer-weights")
    return partial(EnhancedRenderer, make_renderer=factory, restore=Gfpgan(args.enhancer_weights, args.device))


def add_control_options(parser: argparse.ArgumentParser) -> None:
    """Options of :class:`~emotalker.inference.control.Control`."""
    group = parser.add_argument_group("control (docs/control.md)")
    for part, what in (("pose", "head pose"), ("expression", "brows, lids, gaze and cheeks"), ("lips", "jaw and lips")):
        group.add_argument(f"--ref-{part}", metavar="R", help=f"take the {what} from this video or motion file")
        group.add_argument(f"--ref-{part}-amplitude", type=amplitude, default=1.0, metavar="A", help="its factor, 0 to 3")
    group.add_argument(
        "--ref-mode",
        choices=["absolute", "relative"],
        default="absolute",
        help="relative: the change since the reference's first frame (default: %(default)s)",
    )
    group.add_argument(
        "--ref-end", choices=["loop", "hold", "cut"], default="loop", help="after the reference's last frame (default: loop)"
    )
    group.add_argument("--pose", metavar="K", help='keyframes of the head, degrees: "yaw=0:0,50:15; pitch=1s:-5"')
    group.add_argument("--gaze", metavar="K", help='keyframes of the gaze, degrees: "yaw=0%%:-10,100%%:10"')


def add_driving_options(parser: argparse.ArgumentParser) -> None:
    """Options of :mod:`emotalker.inference.driving`."""
    group = parser.add_argument_group("driving frames (docs/control.md)")
    group.add_argument("--driving", metavar="R", help="begin with the frames of this video or motion file, and continue")
    group.add_argument(
        "--driving-seconds", type=positive, default=1.0, metavar="S", help="how much of it (default: %(default)s)"
    )


def driving_from(args: argparse.Namespace) -> MotionTrack | None:
    """The driving frames from :func:`add_driving_options`; errors as :func:`load_driving_frames`."""
    from emotalker.inference.driving import load_driving_frames

    return None if args.driving is None else load_driving_frames(args.driving, args.driving_seconds)


def control_from(args: argparse.Namespace) -> Control:
    """The control from :func:`add_control_options`.

    Raises:
        ControlError: a keyframe cannot be read, or a reference has no face.
        DataError, VideoError: a reference cannot be read.
    """
    from emotalker.inference.control import PARTS, Control, Reference, load_reference
    from emotalker.inference.keyframes import GAZE_KEYS, POSE_KEYS, parse_keyframes

    pose = parse_keyframes(args.pose, POSE_KEYS) if args.pose else []
    gaze = parse_keyframes(args.gaze, GAZE_KEYS) if args.gaze else []
    references = []
    for part in PARTS:
        if path := getattr(args, f"ref_{part}"):
            factor = getattr(args, f"ref_{part}_amplitude")
            motion = load_reference(path)
            references.append(Reference(motion, part, args.ref_mode == "relative", factor, args.ref_end))
    return Control(tuple(references), tuple(pose), tuple(gaze))


def add_extra_outputs(parser: argparse.ArgumentParser) -> None:
    """Further files that a command writes."""
    group = parser.add_argument_group("further outputs")
    group.add_argument("--mesh", metavar="M.MP4", help="also render the fitted head itself")
    group.add_argument(
        "--mesh-identity",
        default="photo",
        metavar="WHO",
        help="photo: textured from it; plain: its shape; average; or a number for a random person (default: %(default)s)",
    )
    group.add_argument(
        "--mesh-backend",
        choices=["auto", "numba", "torch", "pytorch3d"],
        default="auto",
        help="what draws it; auto: PyTorch3D on a GPU where it is installed, else compiled loops (default: auto)",
    )
    group.add_argument("--plot", metavar="P.PNG", help="also draw mouth, brows, head and emotion over the waveform")


def style_from(args: argparse.Namespace) -> Style:
    """The style from :func:`add_style_options`; StyleError if the emotion is unknown.

    Raises EmotionTrackError if the file of the emotion track cannot be used.
    """
    from emotalker.inference.emotion_track import EmotionTrack
    from emotalker.inference.style import Style, parse_emotion

    names = ("intensity", "expression", "head", "lips", "blinks")
    emotion = parse_emotion(args.emotion) if args.emotion else None
    track = EmotionTrack.load(args.emotion_track) if args.emotion_track else None
    return Style(emotion=emotion, emotion_track=track, **{name: getattr(args, name) for name in names})


def performance_from(args: argparse.Namespace) -> PerformanceConfig:
    """The steps from :func:`add_decoding_options`; StyleError if a step is unknown."""
    from dataclasses import replace

    from emotalker.inference.performance import PERFORMANCE

    steps = PERFORMANCE.without(*args.without)
    return steps if args.sampling_weight is None else replace(steps, sampling_weight=args.sampling_weight)
