"""Lip sync of generated videos, measured by tracking them.

The command emotalker evaluate lipsync; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "lipsync", *sys.argv[1:]])
