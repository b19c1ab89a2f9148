"""Write a talking video from a voice recording and a portrait: emotalker infer; --help lists the options."""

import sys

from emotalker.console.main import main

if __name__ == "__main__":  # lists start processes, which import this file
    main(["infer", *sys.argv[1:]])
