.PHONY: setup demo test lint

setup: ## make .venv with everything the project needs
	@scripts/setup.sh

demo: setup ## write outputs/demo.mp4 from the packaged portrait and recording
	@.venv/bin/python scripts/demo.py --output outputs/demo.mp4

test: setup ## lint and run the tests
	@scripts/setup_tests.sh
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/python -m pytest

lint: setup ## fix what ruff can fix
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .
