"""Command-line options of inference. Heavy imports are inside functions, so that ``--help`` is fast."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from emotalker.core.cli import Renamed, amplitude, blink_rate, fraction, positive

if TYPE_CHECKING:
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
        help="the emotion over time, instead of --emotion: columns time,emotion,share or time,valence,arousal",
    )
    group.add_argument(
        "--intensity", type=amplitude, default=1.0, help="intensity of the emotion, 0 to 3 (default: %(default)s)"
    )
    group.add_argument("--expression", type=amplitude, default=1.0, help="amplitude of brows, eyelids and cheeks, 0 to 3")
    group.add_argument("--head", type=amplitude, default=1.0, help="amplitude of head motion, 0 to 3; 0 keeps it still")
    group.add_argument("--lips", type=amplitude, default=1.0, help="amplitude of lips and jaw, 0 to 3")
    group.add_argument("--blinks", type=blink_rate, help="blinks per minute, 0 to 120 (default: as predicted)")
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
