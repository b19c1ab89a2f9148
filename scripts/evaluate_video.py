"""Measure the emotion that expression networks see in videos, as Markdown tables and a contact sheet.

The command emotalker evaluate video; --help lists the options.
"""

import sys

from emotalker.console.main import main

if __name__ == "__main__":
    main(["evaluate", "video", *sys.argv[1:]])
