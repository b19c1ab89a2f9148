"""Write a talking video from a voice recording and a portrait; --help lists the options."""

from emotalker.core.cli import run
from emotalker.inference.commands import infer, infer_parser, run_command

if __name__ == "__main__":  # lists start processes, which import this file
    run(lambda: run_command(infer, infer_parser(), ("audio", "image", "output")))
