# `make demo` and `make test` need nothing but Python (3.11 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= $(ARENA_DATA)
# Processes that share the tests.
JOBS ?= 2

.PHONY: demo test test-oldest lint bench docs clean
# Two pips at once would install into one .venv.
.NOTPARALLEL:

demo: .venv/installed
	$(BIN)/python examples/demo.py

test: .venv/installed-test
	$(BIN)/python -m pytest -n $(JOBS)

# With the oldest releases that pyproject.toml allows.
test-oldest: .venv-oldest/installed
	.venv-oldest/bin/python -m pytest -n $(JOBS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed-test
	$(BIN)/python -m benchmarks $(if $(DATA),--data "$(DATA)") $(if $(ALL),--all)

docs: .venv/installed-docs  # -E: Sphinx misses changed docstrings of functions
	$(BIN)/python -m sphinx -WE --keep-going docs docs/_build/html

clean:
	rm -rf .venv .venv-oldest models submission.csv made_submission.csv docs/_build docs/generated

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-%: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@ .venv/installed

.venv-oldest/installed: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet uv
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python \
		--resolution lowest-direct --editable ".[test]"
	touch $@
