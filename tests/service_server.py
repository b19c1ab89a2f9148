"""Starts the service with the worker of service_worker.py: folder, then settings as a Python dict."""

import ast
import sys
from pathlib import Path

from emotalker.core.cli import run
from emotalker.service.command import serve
from emotalker.service.settings import Settings

if __name__ == "__main__":
    worker = [sys.executable, str(Path(__file__).with_name("service_worker.py"))]
    settings = Settings(Path(sys.argv[1]), worker_command=worker, **ast.literal_eval(sys.argv[2]))
    run(lambda: serve(settings, "127.0.0.1", int(sys.argv[3])))
