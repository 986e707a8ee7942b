# Four verbs. Each first makes .venv for this machine, or sees in a moment that it is ready
# (.ci/setup says how it chooses). ARGS passes options on: make bench ARGS="--window 30".
SHELL := /bin/bash
.PHONY: bench test check speed
# Bytecode is kept whatever the caller's shell says: nothing is compiled when packages are installed,
# and compiling anew at each start doubles what a short command takes.
unexport PYTHONDONTWRITEBYTECODE

bench:
	@options=$$(.ci/setup bench) && .venv/bin/bench all $$options $(ARGS)

# Two files at a time, but one after another where the tests watch the clock; with ARGS,
# status 5 of pytest (nothing chosen in this half) is let pass.
ALONE := tests/gpu $(addprefix tests/meters/test_,beside.py calibration_on_nvml.py faults.py \
	process.py run_command.py sweep_limit.py whole_run.py)
test:
	@.ci/setup dev
	.venv/bin/python -m pytest tests --ignore=tests/speed $(ALONE:%=--ignore=%) -n 2 --dist loadfile $(ARGS) || [ $$? -eq 5 -a -n "$(ARGS)" ]
	.venv/bin/python -m pytest $(ALONE) $(ARGS) || [ $$? -eq 5 -a -n "$(ARGS)" ]

check:
	@.ci/setup dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

speed:
	@.ci/setup dev && .venv/bin/python -m pytest tests/speed $(ARGS)
