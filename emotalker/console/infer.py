"""Write a talking video from a voice recording and a portrait.

emotalker infer --audio voice.wav --image person.jpg --output talking.mp4
emotalker infer --audio voice.wav --image person.jpg --emotion happy --intensity 1.5

With a video as --image, the video is dubbed.
"""

from __future__ import annotations

import argparse

from emotalker.console.lists import run_once_or_list
from emotalker.core.cli import Outcome
from emotalker.inference.commands import add_infer_arguments, infer

add_arguments = add_infer_arguments


def main(args: argparse.Namespace) -> Outcome:
    """Run the command."""
    return run_once_or_list(args, infer, add_arguments, ("audio", "image", "output"))
