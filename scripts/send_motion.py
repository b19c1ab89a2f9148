"""Send a motion to a running program, in real time.

python scripts/send_motion.py --coefficients motion.npz --to vmc --port 39539
"""

from __future__ import annotations

import argparse

from emotalker.core.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coefficients", required=True, help="motion: .npz, .csv (ours or Live Link Face's) or .glb")
    parser.add_argument("--to", choices=["vmc", "live-link"], default="vmc", help="protocol (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="of the receiving program (default: %(default)s)")
    parser.add_argument("--port", type=int, help="default: 39539 for vmc, 11111 for live-link")
    parser.add_argument("--subject", default="EmoTalker", help="name of the face in Unreal Engine (default: %(default)s)")
    args = parser.parse_args()

    from emotalker.exchange.export import load_motion
    from emotalker.exchange.live import LIVE_LINK_PORT, VMC_PORT, LiveLinkSender, VMCSender, send_in_real_time

    motion = load_motion(args.coefficients)
    if args.to == "vmc":
        sender = VMCSender(args.host, args.port or VMC_PORT)
    else:
        sender = LiveLinkSender(args.host, args.port or LIVE_LINK_PORT, args.subject)
    print(f"sent {send_in_real_time(motion.coefficients, sender)} frames")


run(main)
