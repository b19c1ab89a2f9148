"""Measure an audio encoder: emotion (RAVDESS, Javanese), words (GRID alignments), and speed.

The command emotalker evaluate audio-encoder; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "audio-encoder", *sys.argv[1:]])
