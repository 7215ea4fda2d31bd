# Needs Python 3.11 or newer and make; everything else goes into .venv. Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
UV_VERSION := 0.13.9

VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
HAVE_UV := $(VENV)/.uv-$(UV_VERSION)
READY := $(VENV)/.ready

# the environment is .venv and its Python, whatever the caller's shell says
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(VENV)
unexport UV_PYTHON VIRTUAL_ENV

SYNC := $(UV) sync --quiet --locked --inexact --python $(PY)
PYTEST := -m pytest -n 2 -q
FAST := not slow and not live

# the prompt reaches the command letter for letter: neither make nor the shell reads it
override PROMPT := $(value PROMPT)
export PROMPT

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check lint types imports cov bench bench-peers format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## See it work, without a key; with your own question: make demo PROMPT="Why is the sky blue?"
	@$(VENV)/bin/multi-llm demo $(if $(PROMPT),-- "$$PROMPT")

test: $(READY) ## Run the fast tests; a part of them: make test ARGS="-k stream"
	@$(PY) $(PYTEST) -m "$(FAST)" $(ARGS)

test-all: $(READY) ## Run the slow tests as well
	@$(PY) $(PYTEST) -m "not live" $(ARGS)

check: lint types imports cov ## Everything that CI checks: format, lint, types, layers, tests with coverage

lint: $(READY)
	@echo "== format and lint"
	@$(PY) -m ruff format --check --quiet . || { echo "Not formatted as above: make format"; exit 1; }
	@$(PY) -m ruff check .

types: $(READY)
	@echo "== types"
	@$(PY) -m mypy
	@$(PY) -m basedpyright

imports: $(READY)
	@echo "== layers"
	@$(VENV)/bin/lint-imports --no-logo

cov: $(READY) ## Run the fast tests and show which lines they miss
	@echo "== tests with coverage"
	@$(PY) -m coverage erase
	@$(PY) -m coverage run $(PYTEST) -m "$(FAST)" $(ARGS)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report

bench: $(READY) ## Measure what a call and a stream cost
	@$(PY) -m benchmarks.run $(ARGS)

bench-peers: $(READY) ## Measure other clients beside it, in environments of their own; a look: ARGS=--quick
	@$(PY) -m benchmarks.peers $(ARGS)

format: $(READY) ## Format the code and mend what the linter can
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

clean: ## Remove .venv and everything else that these commands made
	@rm -rf $(VENV) .bench build dist htmlcov .coverage .coverage.* coverage.xml .benchmarks .hypothesis \
		.import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV): $(READY)

$(READY): pyproject.toml uv.lock $(HAVE_UV)
	@echo "Installing what uv.lock names into $(VENV) ..."
	@$(SYNC)
	@touch $@

# A .venv that is there is kept if its Python is new enough and has pip.
$(HAVE_UV):
	@$(PY) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
			echo "Python 3.11 or newer is needed, and '$(PYTHON)' is" \
				"$$($(PYTHON) --version 2>/dev/null || echo missing). Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; \
			exit 1; }; \
		echo "Making $(VENV) ..."; \
		$(PYTHON) -m venv --clear $(VENV) || { \
			echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv"; \
			rm -rf $(VENV); exit 1; }; }
	@$(PY) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@rm -f $(VENV)/.uv-* && touch $@
