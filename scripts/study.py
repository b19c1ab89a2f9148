"""User study: pages where raters compare systems' videos, analysis of their answers, export to Mechanical Turk.

python scripts/study.py serve --study study.yaml --answers answers.db --port 8000
python scripts/study.py analyse --study study.yaml --answers answers.db --output outputs/study
python scripts/study.py export --study study.yaml --base-url https://example.org/videos --output outputs/mturk
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emotalker.core.cli import run


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="show the pages and keep the answers")
    analyse = commands.add_parser("analyse", help="write preferences, significance, agreement and the figure")
    export = commands.add_parser("export", help="write the study for Mechanical Turk")
    for command in (serve, analyse, export):
        command.add_argument("--study", type=Path, required=True, help="YAML or JSON, see docs/study.md")
    for command in (serve, analyse):
        command.add_argument("--answers", required=True, help="file of SQLite, or URL (postgresql://user@host/name)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all (default: %(default)s)")
    serve.add_argument("--port", type=int, default=8000, help="(default: %(default)s)")
    serve.add_argument("--https", action="store_true", help="a proxy in front speaks HTTPS: cookies are sent over it only")
    for command, what in ((analyse, "tables, report and figure"), (export, "pages, tables and videos")):
        command.add_argument("--output", type=Path, required=True, help=f"folder of {what}")
    analyse.add_argument("--mturk", action="store_true", help="--answers is a file of results from Mechanical Turk")
    analyse.add_argument("--key", type=Path, help="with --mturk: key.csv that export wrote")
    export.add_argument("--base-url", required=True, help="where you will put the folder videos, https://...")
    args = parser.parse_args()
    if args.command == "analyse" and args.mturk != (args.key is not None):
        parser.error("--mturk and --key belong together")
    return args


def main() -> None:
    args = parse_arguments()

    from emotalker.study.definition import load_study

    study = load_study(args.study)
    if args.command == "serve":
        from emotalker.study.database import Database
        from emotalker.study.store import Store
        from emotalker.study.web import create_app, serve

        app = create_app(study, Store(study, Database(args.answers)), secure=args.https)
        print(f"http://{args.host}:{args.port}/ (stop with Ctrl+C)", flush=True)
        serve(app, args.host, args.port)
    elif args.command == "analyse":
        from emotalker.study.answers import read_database, read_mturk
        from emotalker.study.report import write_report

        answers = read_mturk(study, args.answers, args.key) if args.mturk else read_database(study, args.answers)
        for path in write_report(study, answers, args.output):
            print(f"wrote {path}")
    else:
        from emotalker.study.mturk import export

        for path in export(study, args.base_url, args.output):
            print(f"wrote {path}")


run(main)
