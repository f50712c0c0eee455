# Everything a newcomer types. Each target sets up what it needs, once.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SQUALL := $(PY) -m harness.cli

PIP := $(PY) -m pip install --quiet --disable-pip-version-check
# An index that has not every package is no news, a line for each of them; what else pip warns of is shown as it comes.
SAID := 2>&1 | { grep -v --line-buffered "is ignored: it is neither a file nor a directory" >&2 || true; }
FAILED := { echo "squall: set-up failed, see above: is the package index reachable (pip config list), is the disk full? Then give the same command again" >&2; exit 2; }

FUZZ_MINUTES ?= 60

.PHONY: help run test fuzz conformance check test-full drill drills bench lock format clean setup setup-dev

help:
	@echo "make run     sets everything up, then runs experiments/burst-500.yaml: about four minutes"
	@echo "make test    sets everything up, then runs the tests that need no root"
	@echo "make drill   kills the database in the middle of a burst, and must find the damage"
	@echo "make setup   only sets up; then: .venv/bin/squall --help"
	@echo "More targets are in README.md."

setup: $(VENV)/.runtime
setup-dev: $(VENV)/.dev

$(VENV)/.python:
	@version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2], int(sys.version_info >= (3, 11)))') || version="nothing that runs 0"; \
	[[ $$version == *" 1" ]] || { echo "squall: wanted Python 3.11 or newer; $(PYTHON) is $${version% 0}. Name another one: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "squall: no virtual environment could be made; mend that and give the same command again" >&2; exit 2; }
	@touch $@

# Wheels only and by hash: no compiler is needed, and nothing but what was reviewed is installed.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/.python
	@echo "squall: installing the packages of requirements.lock in $(VENV); a minute or two, this once"
	@$(PIP) --require-hashes --only-binary :all: -r requirements.lock $(SAID) || $(FAILED)
	@$(PIP) --no-deps --no-build-isolation --editable . $(SAID) || $(FAILED)
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "squall: installing what the tests need on top, this once"
	@$(PIP) --require-hashes --only-binary :all: -r requirements-dev.lock $(SAID) || $(FAILED)
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

# Kill -9 of the nemesis in each step of each fault, then of every process of a run at random moments, thirty times:
# more than half an hour.
drills: $(VENV)/.dev
	SQUALL_DRILLS=$${SQUALL_DRILLS:-30} $(PY) -m pytest -m "not servers" tests/faults
	SQUALL_DRILLS=$${SQUALL_DRILLS:-30} $(PY) -m pytest -m drills tests/drills

# Hostile traffic for a whole embedded cloud, for an hour (FUZZ_MINUTES=n); stops at the first thing found, with its seed.
fuzz: $(VENV)/.dev
	$(PY) -m tests.fuzz --minutes $(FUZZ_MINUTES) $(if $(SEED),--seed $(SEED))

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
