"""A portrait that talks while you speak: emotalker stream; --help lists the options."""

import sys

from emotalker.console.main import main

if __name__ == "__main__":  # lists start processes, which import this file
    main(["stream", *sys.argv[1:]])
