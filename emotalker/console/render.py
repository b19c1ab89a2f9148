"""Render a motion, which may have been edited, with a portrait.

emotalker render --coefficients m.csv --image person.jpg --audio voice.wav --output edited.mp4
"""

from __future__ import annotations

import argparse

from emotalker.console.lists import run_once_or_list
from emotalker.core.cli import Outcome
from emotalker.inference.commands import add_render_arguments, render

add_arguments = add_render_arguments


def main(args: argparse.Namespace) -> Outcome:
    """Run the command."""
    return run_once_or_list(args, render, add_arguments, ("coefficients", "image", "output"))
