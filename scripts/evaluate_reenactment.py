"""Renderers on held-out clips: the first frame moved by the clip's tracked motion, compared with the real frames.

The command emotalker evaluate reenactment; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "reenactment", *sys.argv[1:]])
