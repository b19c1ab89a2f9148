"""Command-line options of a performance, shared by the scripts. Imports nothing heavy, so that ``--help`` is instant."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from emotalker.core.cli import Renamed, amplitude, blink_rate, fraction, positive

if TYPE_CHECKING:
    from emotalker.inference.performance import PerformanceConfig
    from emotalker.inference.style import Style


def add_style_options(parser: argparse.ArgumentParser) -> None:
    """What to perform beside what is heard."""
    group = parser.add_argument_group("style (the default performs what is heard)")
    group.add_argument("--emotion", help="override the heard emotion: happy, or a mix such as sad:0.6,angry:0.2")
    group.add_argument("--intensity", type=amplitude, default=1.0, help="of the emotion, 0 to 3 (default: %(default)s)")
    group.add_argument("--expression", type=amplitude, default=1.0, help="amplitude of brows, lids and cheeks, 0 to 3")
    group.add_argument("--head", type=amplitude, default=1.0, help="amplitude of head motion, 0 to 3; 0 keeps it still")
    group.add_argument("--lips", type=amplitude, default=1.0, help="amplitude of lips and jaw, 0 to 3")
    group.add_argument("--blinks", type=blink_rate, help="a minute, 0 to 120 (default: as predicted)")


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """How codes are decoded, and which steps follow."""
    group = parser.add_argument_group("decoding")
    group.add_argument("--decoding", choices=["continuous", "nearest", "sample"], default="sample")
    group.add_argument("--temperature", type=positive, default=1.0, help="of sampled codes (default: %(default)s)")
    group.add_argument(
        "--sampling-weight", type=fraction, help="brows and head from expected (0) to sampled (1) (default: 0.4)"
    )
    group.add_argument("--liveliness", type=fraction, action=Renamed, new="--sampling-weight")
    group.add_argument(
        "--without", action="append", default=[], metavar="STEP", help="switch off a step of docs/method.md 9; repeatable"
    )


def style_from(args: argparse.Namespace) -> Style:
    """The style of :func:`add_style_options`; StyleError if the emotion is unknown."""
    from emotalker.inference.style import Style, parse_emotion

    names = ("intensity", "expression", "head", "lips", "blinks")
    emotion = parse_emotion(args.emotion) if args.emotion else None
    return Style(emotion=emotion, **{name: getattr(args, name) for name in names})


def performance_from(args: argparse.Namespace) -> PerformanceConfig:
    """The steps of :func:`add_decoding_options`; StyleError if a step is unknown."""
    from dataclasses import replace

    from emotalker.inference.performance import PERFORMANCE

    steps = PERFORMANCE.without(*args.without)
    return steps if args.sampling_weight is None else replace(steps, sampling_weight=args.sampling_weight)
