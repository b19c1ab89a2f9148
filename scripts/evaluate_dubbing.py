"""Measure dubbing: does the lip gap follow the new voice, and is the rest of the video unchanged?

The command emotalker evaluate dubbing; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "dubbing", *sys.argv[1:]])
