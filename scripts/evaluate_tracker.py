"""The tracker in a closed loop: films with known motion are rendered, tracked, and compared with that motion.

The command emotalker evaluate tracker; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "tracker", *sys.argv[1:]])
