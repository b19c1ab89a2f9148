"""Measure the emotion that expression networks see in videos, as Markdown tables and a contact sheet.

Held-out voices of RAVDESS on the actors' own portraits, next to real videos:
    emotalker evaluate video --ravdess ../shared/data --real ../shared/data/mead_style ../shared/data/javanese
Emotions that are asked for, with a neutral voice:
    emotalker evaluate video --asked --portraits ../shared/data/ravdess_portraits --intensity 1 1.5
Any recordings on any portraits; the emotion is taken from the recording's name, as in speech_anger.wav:
    emotalker evaluate video --audio recordings/ --portraits portraits/
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from emotalker.core.cli import UsageError, amplitude, picture_size, seed
from emotalker.inference.options import add_decoding_options, add_style_options, performance_from, style_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--ravdess", type=Path, help="folder with ravdess/ and ravdess_portraits/: generate test actors")
    parser.add_argument("--asked", action="store_true", help="ask for every emotion, with the voice --audio")
    parser.add_argument("--audio", type=Path, nargs="+", help="recordings or folders (--asked: one, default: the demo's)")
    parser.add_argument("--portraits", type=Path, nargs="+", help="portraits or folders, for --asked and --audio")
    parser.add_argument("--limit", type=int, default=10, help="portraits at most, evenly spaced (default: %(default)s)")
    parser.add_argument("--real", type=Path, nargs="+", default=[], help="folders of real videos with labels in their names")
    parser.add_argument("--every", type=int, default=3, help="use every k-th frame (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of the voice with --asked (default: %(default)s)")
    parser.add_argument("--size", type=picture_size, default=512, help="of generated videos (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0)
    add_style_options(parser)
    parser.conflict_handler = "resolve"  # instead of the style's, which takes one
    several = parser.add_argument_group("intensities")
    several.add_argument("--intensity", type=amplitude, nargs="+", default=[1.0], help="one section each (default: 1)")
    add_decoding_options(parser)
    parser.add_argument("--checkpoints", help="folder of trained weights (default: the shipped ones)")
    parser.add_argument("--sheet", type=Path, help="write frames of all videos to this PNG")
    parser.add_argument("--output", type=Path, help="also write the report to this file")


def main(args: argparse.Namespace) -> None:
    """Measure, and print the tables."""
    if not (args.ravdess or args.asked or args.audio or args.real):
        raise UsageError("give --ravdess, --asked, --audio or --real")
    if (args.asked or args.audio) and not args.portraits:
        raise UsageError("--asked and --audio need --portraits")

    from dataclasses import replace

    from emotalker.audio.io import SAMPLE_RATE, load_audio
    from emotalker.core.files import check_writable, replace_on_success
    from emotalker.core.suffixes import AUDIO_SUFFIXES, IMAGE_SUFFIXES
    from emotalker.evaluation import video_emotion
    from emotalker.evaluation import video_takes as takes
    from emotalker.evaluation.expression_networks import CLASSES, load_networks
    from emotalker.face.landmarks import FaceLandmarker
    from emotalker.inference.demo import DEMO_VOICE
    from emotalker.inference.pipeline import TalkingHead
    from emotalker.render.warp_renderer import WarpRenderer
    from emotalker.video.image import save_image

    for path in filter(None, (args.sheet, args.output)):
        check_writable(path)  # before minutes of computation
    chosen: list[takes.Take] = []
    if args.ravdess or args.asked or args.audio:
        talking_head, performance = TalkingHead.from_pretrained(args.checkpoints), performance_from(args)
        talking_head.make_renderer = partial(WarpRenderer, shading=args.shading)
        intensities, args.intensity = args.intensity, 1.0
        style = style_from(args)

        def talk(audio, image, emotion, intensity):
            return talking_head.generate(
                audio,
                image,
                size=args.size,
                seed=args.seed,
                style=replace(style, emotion={emotion: 1.0} if emotion else style.emotion, intensity=intensity),
                decoding=args.decoding,
                temperature=args.temperature,
                performance=performance,
                keep_expression=args.keep_expression,
            )

        portraits = args.portraits and takes.find_files(args.portraits, IMAGE_SUFFIXES, "--portraits", args.limit)
        recordings = args.audio and takes.find_files(args.audio, AUDIO_SUFFIXES, "--audio")
        if args.ravdess:
            chosen += takes.heard_takes(args.ravdess, talk, intensities)
        if args.asked:
            voice = load_audio(recordings[0] if recordings else DEMO_VOICE)
            voice = voice[: round(args.seconds * SAMPLE_RATE)]
            chosen += takes.asked_takes((voice, SAMPLE_RATE), portraits, talk, intensities)
        elif recordings:
            chosen += takes.voice_takes(recordings, portraits, talk, intensities)
    for folder in args.real:
        chosen += takes.real_takes(folder)

    landmarker, networks = FaceLandmarker(), load_networks()
    seen = []
    for number, take in enumerate(chosen, start=1):
        seen.append(observation := video_emotion.observe(take, landmarker, networks, args.every))
        votes = ", ".join(CLASSES[observation.vote(network.name)] for network in networks)
        print(f"{number}/{len(chosen)} {take.section}: {take.subject} {take.emotion or '-'}: {votes}", file=sys.stderr)
    text = video_emotion.report(seen, args.every)
    print(text)
    if args.sheet:
        save_image(args.sheet, video_emotion.contact_sheet(seen))
    if args.output:
        with replace_on_success(args.output) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
