"""Write a video from the packaged portrait and recording: emotalker demo; --help lists the options."""

import sys

from emotalker.console.main import main

if __name__ == "__main__":  # lists start processes, which import this file
    main(["demo", *sys.argv[1:]])
