"""How well the emotion of a voice is heard over time: in joined pairs of clips with different emotions, and in single clips.

The command emotalker evaluate emotion-track; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "emotion-track", *sys.argv[1:]])
