# Everything works on a fresh machine with Python 3.11 or later and make: the first target makes .venv by itself.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test check format bench fuzz prove docs lock clean venv

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

venv: $(READY) ## make the virtual environment and install everything, by hash

$(READY): requirements.lock requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Penstock needs Python 3.11 or later: none was found. Install it, or say make PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module. On Debian: apt-get install python3-venv"; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## the whole station in one terminal: simulator, broker, controller, forwarder (DEMO_ARGS=--once)
	@$(BIN)/penstock demo $(DEMO_ARGS)

test: $(READY) ## run all tests (PYTEST_ARGS=...)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(READY) ## linters, formatting, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY) ## format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## measure: ours beside the bare libraries, in one run (BENCH_ARGS=reaction)
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

fuzz: $(READY) ## ten million mutated frames against the Modbus driver (FUZZ_ARGS="--frames N --seed N --jobs N")
	@$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

prove: $(READY) ## walk every reachable state of a small station, and find every planted defect (PROVE_ARGS="--preset full")
	@$(BIN)/python -m tests.prove $(PROVE_ARGS)

docs: $(READY) ## write the page of each device profile and the pictures of the state machines anew
	@$(BIN)/penstock profile pages docs/devices
	@$(BIN)/penstock diagrams docs/diagrams

lock: $(READY) ## resolve the dependencies anew into the lock files
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--no-annotate pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--no-annotate --group dev pyproject.toml -o requirements-dev.lock

clean: ## remove what was made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
