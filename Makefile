# Every target sets up what it needs: .venv is made on first use.
PYTHON ?= python3
PY = .venv/bin/python

.PHONY: test

.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --disable-pip-version-check -q -e '.[test]'
	touch .venv/.installed

test: .venv/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest
