# Four verbs. Each first makes .venv for this machine, or sees in a moment that it is ready
# (.ci/setup says how it chooses). ARGS passes options on: make bench ARGS="--window 30".
SHELL := /bin/bash
.PHONY: bench test check speed

bench:
	@options=$$(.ci/setup bench) && .venv/bin/bench all $$options $(ARGS)

test:
	@.ci/setup dev && .venv/bin/python -m pytest tests --ignore=tests/speed $(ARGS)

check:
	@.ci/setup dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

speed:
	@.ci/setup dev && .venv/bin/python -m pytest tests/speed $(ARGS)
