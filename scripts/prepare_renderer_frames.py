"""Prepare training data of a neural renderer: clips reenacted from their first frame. Files that exist are kept.

The command emotalker prepare renderer-frames; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["prepare", "renderer-frames", *sys.argv[1:]])
