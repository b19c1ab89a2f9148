"""Measure the mean motion that the trained networks generate for neutral speech, the last training stage; about a minute.

The command emotalker train expression; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["train", "expression", *sys.argv[1:]])
