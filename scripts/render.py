"""Render a motion with a portrait; --help lists the options."""

from emotalker.core.cli import run
from emotalker.inference.commands import render, render_parser, run_command

if __name__ == "__main__":  # lists start processes, which import this file
    run(lambda: run_command(render, render_parser(), ("coefficients", "image", "output")))
