# Each target sets up what it needs in .venv; stamp files there make a second call cost nothing.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.ready-run
DEV_STAMP := $(VENV)/.ready-dev
DOCS_STAMP := $(VENV)/.ready-docs
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help tune ui test test-all lint format docs lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

tune: $(RUN_STAMP) ## Search, train, score and report; options in ARGS, as in: make tune ARGS="--trials 20"
	@$(BIN)/python launch/tune.py $(ARGS)

ui: $(RUN_STAMP) ## Open the MLflow UI at the runs; options in ARGS, as in: make ui ARGS="--port 5001"
	@$(BIN)/python -m weightflow.tracking $(ARGS)

test: lint ## Run lint, then all tests but the slow ones; options for pytest in ARGS
	$(PYTEST) -m "not slow" $(ARGS)

test-all: lint ## Run every check: lint, then all tests; before a piece of work is called done
	$(PYTEST) $(ARGS)

lint: $(DEV_STAMP) ## Check style, formatting, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(DEV_STAMP) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS_STAMP) ## Build the documentation as a static site in site/; a warning is an error
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs site

lock: $(DEV_STAMP) $(DOCS_STAMP) ## Write the versions that .venv holds now to requirements.lock
	{ sed -n '/^#/p' requirements.lock; $(BIN)/python -m pip freeze --all --exclude-editable \
		| sed -e '/^pip==/d' -e 's/+cpu$$//' | LC_ALL=C sort -f; } > $(VENV)/lock && mv $(VENV)/lock requirements.lock

clean: ## Remove the environment and caches, never results (runs, mlruns, mlflow.db)
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "WeightFlow needs Python 3.11 or newer, but \`$(PYTHON)\` is $$($(PYTHON) --version 2>&1);" \
			"say which to use: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# Everything is pinned by the lock, the build's own requirements too (PIP_CONSTRAINT reaches the isolated build).
$(RUN_STAMP): pyproject.toml requirements.lock | $(BIN)/python
	PIP_CONSTRAINT=requirements.lock $(BIN)/python -m pip install --quiet -e '.[all]'
	@touch $@

$(DEV_STAMP): pyproject.toml requirements.lock | $(BIN)/python
	PIP_CONSTRAINT=requirements.lock $(BIN)/python -m pip install --quiet -e '.[all,dev]'
	@touch $(RUN_STAMP) $@

$(DOCS_STAMP): pyproject.toml requirements.lock | $(BIN)/python
	PIP_CONSTRAINT=requirements.lock $(BIN)/python -m pip install --quiet -e '.[all,docs]'
	@touch $(RUN_STAMP) $@
