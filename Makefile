# `make demo` and `make test` need nothing but Python (3.11 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= $(ARENA_DATA)

.PHONY: demo test lint bench docs clean

demo: .venv/installed
	$(BIN)/python examples/demo.py

test: .venv/installed-test
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/installed-test
	$(BIN)/python -m benchmarks $(if $(DATA),--data $(DATA)) $(if $(ALL),--all)

docs: .venv/installed-docs
	$(BIN)/python -m sphinx -W --keep-going docs docs/_build/html

clean:
	rm -rf .venv models submission.csv docs/_build docs/generated

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-%: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@ .venv/installed
