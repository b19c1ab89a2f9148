.PHONY: setup demo test lint

setup: ## make .venv with everything the project needs
	@scripts/setup.sh

demo: setup ## write outputs/demo.mp4 from a portrait and a recording that come along
	@.venv/bin/python scripts/demo.py --output outputs/demo.mp4

test: setup ## lint and run the tests
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/python -m pytest

lint: setup ## mend what ruff can mend
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .
