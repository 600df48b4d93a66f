# make demo | test | lint | bench | clean
#
# Each target makes the environment it needs and installs into it again when pyproject.toml changed.
# jitgrad is installed editable, so a change of its source needs no installing.

PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
# worksteal: most tests come from few files, so whole files would leave workers idle
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist worksteal
BENCH_ARGS ?=

INSTALL = -m pip install --quiet --disable-pip-version-check --no-input

# two installs into one environment must not run at once
.NOTPARALLEL:
.PHONY: help demo test lint bench clean

help:
	@echo "make demo    run the demonstration"
	@echo "make test    run all tests"
	@echo "make lint    check style and types"
	@echo "make bench   measure against other libraries (installs them, PyTorch and JAX among them)"
	@echo "make clean   remove environments, caches and the demo's output"

demo: $(VENV)/.installed-demo
	$(VENV)/bin/python -m jitgrad.demo

test: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-lint
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

bench: $(BENCH_VENV)/.installed-bench
	$(BENCH_VENV)/bin/python -m bench $(BENCH_ARGS)

clean:
	rm -rf .venv .venv-bench build dist demo-output
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so that an interrupted step is done again.
%/.created:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("jitgrad needs Python 3.11 or newer, and $(PYTHON) is older: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(@D)
	@touch $@

$(VENV)/.installed-demo: EXTRAS = demo
$(VENV)/.installed-test: EXTRAS = test,demo
$(VENV)/.installed-lint: EXTRAS = dev
$(BENCH_VENV)/.installed-bench: EXTRAS = bench

$(VENV)/.installed-demo $(VENV)/.installed-test $(VENV)/.installed-lint: pyproject.toml | $(VENV)/.created
	$(VENV)/bin/python $(INSTALL) --editable '.[$(EXTRAS)]'
	@touch $@

$(BENCH_VENV)/.installed-bench: pyproject.toml | $(BENCH_VENV)/.created
	$(BENCH_VENV)/bin/python $(INSTALL) --editable '.[$(EXTRAS)]'
	@touch $@
