# Everything a newcomer types. Each target sets up what it needs, once.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SQUALL := $(PY) -m harness.cli

.PHONY: run test conformance check test-full drill drills bench lock format clean setup setup-dev

setup: $(VENV)/.runtime
setup-dev: $(VENV)/.dev

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "squall needs Python 3.11 or newer; $(PYTHON) is older. Set PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# Wheels only and by hash: no compiler is needed, and nothing but what was reviewed is installed.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/.python
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-dev.lock
	@touch $@

run: $(VENV)/.runtime
	$(SQUALL) run experiments/burst-500.yaml

drill: $(VENV)/.runtime
	$(SQUALL) run experiments/burst-500-crash.yaml

test: $(VENV)/.dev
	$(PY) -m pytest -m "not servers"

test-full: $(VENV)/.dev
	tests/install-servers.sh
	$(PY) -m pytest -m servers

# Random kill -9 of every process of a run, thirty times: about half an hour.
drills: $(VENV)/.dev
	SQUALL_DRILLS=$${SQUALL_DRILLS:-30} $(PY) -m pytest -m drills tests/drills

# What the real services answer, recorded anew from a cloud of yours (REAL= its name in clouds.yaml), and compared.
conformance: $(VENV)/.dev
	$(PY) -m tests.conformance $(if $(REAL),--real $(REAL))

check: $(VENV)/.dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/test_architecture.py

format: $(VENV)/.dev
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: $(VENV)/.dev
	$(PY) -m benchmarks

lock:
	uv pip compile -q --universal --python-version 3.11 --extra setup --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --extra setup --extra dev --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -o requirements-dev.lock pyproject.toml

clean:
	rm -rf $(VENV) build *.egg-info
