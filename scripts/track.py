"""Track the face in a video: emotalker track; --help lists the options."""

import sys

from emotalker.console.main import main

if __name__ == "__main__":  # lists start processes, which import this file
    main(["track", *sys.argv[1:]])
