"""Prepare face crops with known blendshapes, the training data of the face reader. Files that exist are not computed again.

The command emotalker prepare faces; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["prepare", "faces", *sys.argv[1:]])
