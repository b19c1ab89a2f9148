"""Copy the weights of trained runs into a folder for release, with a model card.

The command emotalker train export; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["train", "export", *sys.argv[1:]])
