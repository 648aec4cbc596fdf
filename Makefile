# Everything here works from a fresh clone: the first target that needs it creates .venv and installs into it.

# A name on PATH is no proof (version managers leave shims behind): run the candidate and ask for its version.
PYTHON ?= $(shell for p in python3.11 python3 python3.14 python3.13 python3.12; do \
	  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
VENV := .venv
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test coverage slow torture bench docs check format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Run the whole loop on real data (ARGS="--events 2000" for less of it)
	@$(BIN)/python -m bridge demo $(ARGS)

# Side by side, because tests wait for other processes more than they compute: WORKERS is how many, 0 for none.
test: $(STAMP) ## Run the tests, but for the slow ones and the torture (ARGS="-k horizon" for some of them)
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m "not torture and not slow" $(ARGS)

coverage: $(STAMP) ## Run the same tests, a half slower, and say which lines of the package no test runs
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m "not torture and not slow" --cov --cov-report term $(ARGS)

slow: $(STAMP) ## Restore and promote servers as the docs say, and try what is seldom used: minutes
	@$(BIN)/python -m pytest -m slow $(ARGS)

torture: $(STAMP) ## Kill everything at random and check every guarantee, for some seconds each
	@$(BIN)/python -m pytest -m torture $(ARGS)

bench: $(STAMP) ## Measure everything side by side (ARGS="pump settle --quick" for some of it)
	@$(BIN)/python -c 'import matplotlib, pgqueuer, procrastinate' 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(STAMP) ## Build the site into build/site; a link that leads nowhere fails
	@$(BIN)/zensical build --clean --strict

check: $(STAMP) ## Lint, check format, types and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(STAMP) ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

clean: ## Remove .venv, caches and build results
	rm -rf $(VENV) .venv.lock build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage*
	find bridge benchmarks tasks tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The lock makes a second `make` wait for the first one's install; the test after it makes it see that all is done.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import fcntl, subprocess, sys; lock = open(".venv.lock", "w"); fcntl.flock(lock, fcntl.LOCK_EX); \
	  sys.exit(subprocess.call(sys.argv[1:]))' sh -ec 'test $(STAMP) -nt pyproject.toml && exit; \
	    echo "installing into $(VENV) ..."; "$(PYTHON)" -m venv $(VENV); \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[embedded,dev]"; touch $(STAMP)'
