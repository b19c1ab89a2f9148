"""Serve a page on which a portrait, a voice and settings become a talking video; --help lists the options."""

from __future__ import annotations

import argparse

from emotalker.app.command import add_arguments, main
from emotalker.core.cli import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    args = parser.parse_args()
    run(lambda: main(args))
