"""The renderer in a closed loop: facial actions put into photos, one at a time, and the landmarker's scores of the result.

The command emotalker evaluate renderer; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "renderer", *sys.argv[1:]])
