"""Measure the emotion recogniser on test speakers, and on corpora that it is not trained on.

The command emotalker evaluate emotion-recognizer; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "emotion-recognizer", *sys.argv[1:]])
