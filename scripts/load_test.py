"""Let many clients ask a service at once; prints errors, latencies and how fairly they waited. Exit status 1 on errors.

Without --url, a service is started for the test, with a token for each client. The first client is greedy: it sends three
times as many jobs as the others, at the same time.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", required=True, help="recording that all send")
    parser.add_argument("--image", required=True, help="portrait that all send")
    parser.add_argument("--clients", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="of each client (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="of the videos, pixels (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="of the service that is started (default: %(default)s)")
    parser.add_argument("--url", help="test this service; all clients have one address and so one turn")
    parser.add_argument("--token", help="of --url")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()

    from emotalker.service.load_test import Connection, load, most_overtaken, own_service, report

    audio, image = Path(args.audio).read_bytes(), Path(args.image).read_bytes()
    names = [f"client{i}" for i in range(args.clients)]
    jobs = {name: args.jobs * (3 if i == 0 else 1) for i, name in enumerate(names)}
    given = {name: Connection(args.url, args.token) for name in names} if args.url else None
    with nullcontext(given) if given else own_service(names, args.workers) as connections:
        started = time.perf_counter()
        results = load(connections, audio, image, {"size": args.size}, jobs)
    print(report(results, time.perf_counter() - started))
    if any(job.error for job in results) or (not args.url and most_overtaken(results) > 2):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
