# Everything sets itself up: `make demo` and `make test` need Python 3.11+, make and git only.
ifndef PYTHON
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

# Weights that come with the package, where they have not been left out.
MAUGEN := $(wildcard ausynth/generators/maugen/weights/mini/model_index.json)

.PHONY: demo test lint format bench clean

demo: $(VENV)/.installed
	$(BIN)/ausynth simulate disfa $(DEMO)/disfa --subjects 9 --frames 120 --size 160 --run-length 15
	$(BIN)/ausynth preview --real disfa --disfa-root $(DEMO)/disfa --out $(DEMO)
ifneq ($(MAUGEN),)
	$(BIN)/ausynth generate "a slight smile with raised cheeks" --generator maugen --count 8 --out $(DEMO)/smile.png
	$(BIN)/ausynth generate "a hint of sadness with clearly lowered brows" --generator maugen --count 8 --out $(DEMO)/sadness.png
endif

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/render.py
	$(BIN)/python benchmarks/stream.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/export.py
	$(BIN)/python benchmarks/balance.py
	$(BIN)/python benchmarks/identity.py
	$(BIN)/python benchmarks/gates.py

clean:
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The stamps make a second run quick; an edit of pyproject.toml installs anew.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "ausynth needs Python 3.11 or newer on the PATH (or: make PYTHON=/path/to/python)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV): the first time some minutes, PyTorch is large."
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV): the first time some minutes, PyTorch is large."
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed
