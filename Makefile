# `make run` on a machine with Python 3.11 to 3.13 and make: environment, quickstart, report. `make help` lists the rest.

VENV ?= .venv
RUN_DIR ?= runs/quickstart-s0
# The first Python of a fitting version that can make environments; `make PYTHON=/path/to/python3.12 run` names another.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	>/dev/null 2>&1 && echo $$python && break; done)
# Processes of the tests, about 2 GB each; a file's tests stay together.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PARALLEL := -n $(JOBS) --maxprocesses=4 --dist=loadfile
PIP := $(VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help run test test-processors mutants slow faults lint docs clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## quickstart: train on the digits, write a report
	$(VENV)/bin/python -m cmo_tf.main --flagfile=flags/quickstart.cfg --run_dir=$(RUN_DIR)
	@echo "report: $(abspath $(RUN_DIR))/report.html"

test: lint ## ruff, types and all fast tests, on all cores (make JOBS=1 test: on one)
	$(VENV)/bin/python -m pytest $(PARALLEL) --durations=20

slow: $(VENV)/.installed-export $(VENV)/.installed-docs $(VENV)-backends/.installed ## the tests that take minutes; some need a browser (apt install chromium)
	$(VENV)/bin/python -m pytest -m slow

faults: $(VENV)/.installed-dev ## the long tests of tests/faults: kills, full disks, fuzzing
	$(VENV)/bin/python -m pytest -m faults tests/faults

test-processors: $(VENV)/.installed-dev ## the tests of numbers, as seven other processors and settings would run them
	$(VENV)/bin/python -m tools.maintain.processors $(PARALLEL)

mutants: $(VENV)/.installed-dev ## plant 240 faults, one at a time, and count those that the tests notice (an hour)
	$(VENV)/bin/python -m tools.maintain.mutants --jobs=$(JOBS)

lint: $(VENV)/.installed-dev ## ruff, and types of the public names
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m mypy

docs: $(VENV)/.installed-docs ## these pages, into build/site
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

clean: ## remove the environment and caches; runs/ stays
	rm -rf $(VENV) $(VENV)-backends .pytest_cache .ruff_cache .mypy_cache .hypothesis build *.egg-info

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 to 3.13 with venv found (Debian, Ubuntu: apt install python3-venv);" \
		"name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo "installing the pinned packages into $(VENV) (about 3 GB; some minutes)"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-docs: requirements-docs.txt $(VENV)/.installed-dev
	@$(PIP) -r requirements-docs.txt
	@touch $@

$(VENV)/.installed-export: requirements-export.txt $(VENV)/.installed-dev
	@$(PIP) -r requirements-export.txt
	@touch $@

$(VENV)-backends/.installed: requirements-backends.txt
	$(PYTHON) -m venv $(VENV)-backends
	@$(subst $(VENV),$(VENV)-backends,$(PIP)) -r requirements-backends.txt
	@touch $@
