"""Start the HTTP service; --help lists the options, docs/service.md the requests."""

import argparse

from emotalker.core.cli import run
from emotalker.service.command import add_arguments, main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    run(lambda: main(parser.parse_args()))
