"""Render a motion with a portrait: emotalker render; --help lists the options."""

import sys

from emotalker.console.main import main

if __name__ == "__main__":  # lists start processes, which import this file
    main(["render", *sys.argv[1:]])
