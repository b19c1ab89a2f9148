"""Measure generated motion against real motion: lips, sync, emotion and landmarks, as Markdown tables for a model card.

The command emotalker evaluate motion; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "motion", *sys.argv[1:]])
