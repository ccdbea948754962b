# What a person and CI call; the scripts do the parts. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
# pip finds every answer or fails; it never asks, and its news are not ours. Below it is twice quiet:
# errors are shown, what it thinks of its configuration on this machine is not.
export PIP_NO_INPUT := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Nothing but the environment that a target builds decides what is imported.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

SOURCES := $(shell find streamer twisted/plugins -type f -not -name '*.pyc' -not -name dropin.cache)
WHEEL := build/wheel/ready
LINT := .venv-test-3.11/bin
EXAMPLE := docs/examples/pulp-streamer-subscription

FUZZ_SECONDS ?= 60

.PHONY: help run test check fuzz wheel servers lint suite subset clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: .venv/ready  ## publish a demo lazily and serve it (UPSTREAM=URL of a folder with a PULP_MANIFEST)
	@exec .venv/bin/python scripts/demo.py

test: servers  ## set up everything, lint, and run every test against the wheel
	@rm -rf build/results
	@$(MAKE) lint suite subset
	@echo; cat build/results

check: lint  ## lint only: ruff and mypy, over the example plugin too

fuzz: .venv-test-3.11/installed  ## hunt for examples that break a property (FUZZ_SECONDS=60)
	@.venv-test-3.11/bin/python scripts/fuzz.py --seconds $(FUZZ_SECONDS) $(FUZZ_ARGUMENTS)

wheel: $(WHEEL)  ## build the wheel into build/wheel

clean:  ## remove environments, builds and the demo
	rm -rf .venv .venv-test-* build dist var/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf $(EXAMPLE)/.mypy_cache $(EXAMPLE)/.ruff_cache

# -- the parts -------------------------------------------------------------------------------------

servers:
	@for version in 3.11 3.12 3.13; do scripts/find-python $$version >/dev/null; done
	@scripts/install-test-servers

lint: .venv-test-3.11/ready
	$(LINT)/ruff check .
	$(LINT)/ruff format --check .
	$(LINT)/mypy
	cd $(EXAMPLE) && MYPYPATH="$(CURDIR)" "$(CURDIR)/$(LINT)/mypy"

suite: .venv-test-3.11/installed
	@scripts/run-suite 3.11

subset: .venv-test-3.12/installed .venv-test-3.13/installed
	@scripts/run-suite 3.12 -m subset
	@scripts/run-suite 3.13 -m subset

# A stamp is as new as what it was made from; removing an environment removes its stamps with it.
.venv/ready: pyproject.toml scripts/make-venv
	@scripts/make-venv .venv any -e .
	@touch $@

$(WHEEL): pyproject.toml README.md LICENSE $(SOURCES) .venv-test-3.11/ready
	@rm -rf build/wheel
	@.venv-test-3.11/bin/pip wheel -qq --no-deps --wheel-dir build/wheel .
	@touch $@

.PRECIOUS: .venv-test-%/ready
.venv-test-3.11/ready: pyproject.toml scripts/make-venv scripts/requirements.py
	@scripts/make-venv .venv-test-3.11 3.11 --requirements test lint
	@touch $@

.venv-test-%/ready: pyproject.toml scripts/make-venv scripts/requirements.py
	@scripts/make-venv .venv-test-$* $* --requirements test
	@touch $@

.venv-test-%/installed: .venv-test-%/ready $(WHEEL)
	@.venv-test-$*/bin/pip install -qq --no-deps --force-reinstall build/wheel/*.whl
	@touch $@
