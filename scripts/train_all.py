"""From corpora to a folder of weights: prepare, train every stage, export. Run it again to continue where it was stopped.

The command emotalker train all; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["train", "all", *sys.argv[1:]])
