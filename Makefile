# Every target makes .venv and installs what it needs on first use.
#   make study [DATASET=spoken|shd|folder] [NAME=run folder] [ARGS="-p epochs 10"]
#   make sweep SWEEP=learning_rate_epochs [DATASET=...] [ARGS="--workers 4"]
PYTHON ?= python3
PY := .venv/bin/python
DATASET ?=
NAME ?=
SWEEP ?=
ARGS ?=

.PHONY: help study data sweep downsizing bench test browser lab notebooks clean

help:
	@echo "make study      run the whole study: data, surrogates, training, analysis"
	@echo "                DATASET=spoken (default), shd (official) or a folder; NAME=run folder;"
	@echo "                ARGS='-p epochs 10' sets any parameter of the notebooks"
	@echo "make data       prepare the data only, DATASET= as above"
	@echo "make sweep      run what is missing of a sweep: SWEEP=learning_rate_epochs or surrogates"
	@echo "                DATASET= as above; ARGS='--workers 4' and others: ARGS=--help"
	@echo "make downsizing run what is missing of all sweeps behind notebook 5 (hours); DATASET= as above"
	@echo "make lab        open the notebooks in JupyterLab"
	@echo "make bench      measure speed, write results/bench.csv (some ten minutes, leave the machine alone)"
	@echo "make test       lint, unit tests, notebooks in small"
	@echo "make browser    the notebooks in JupyterLab, driven in a browser (needs chromium)"
	@echo "make notebooks  run the committed notebooks again, in place"
	@echo "make clean      remove .venv and caches; data/ and runs/ stay"

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --disable-pip-version-check --progress-bar on -q -e '.[test]'
	@touch .venv/.installed

study: .venv/.installed
	@$(PY) -m shd_helpers.study.notebooks $(if $(DATASET),--dataset "$(DATASET)") $(if $(NAME),--name "$(NAME)") $(ARGS)

data: .venv/.installed
	@$(PY) -m shd_helpers.study.notebooks --data-only $(if $(DATASET),--dataset "$(DATASET)") $(ARGS)

sweep: .venv/.installed
	@$(PY) -m shd_helpers.sweeps.runner $(SWEEP) $(if $(DATASET),--set dataset="$(DATASET)") $(ARGS)

downsizing: .venv/.installed
	@$(PY) -m shd_helpers.sweeps.evidence $(if $(DATASET),--dataset "$(DATASET)") $(ARGS)

lab: .venv/.installed
	@echo "Start with 01_data_preprocessing.ipynb; run its cells from the top (Run, Run All Cells)."
	$(PY) -m jupyter lab --notebook-dir=notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

test: .venv/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest
	SHD_SMOKE=1 OMP_NUM_THREADS=1 $(PY) -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=120 notebooks

browser: .venv/.installed
	$(PY) -m pip install --disable-pip-version-check -q -e '.[browser]'
	$(PY) -m pytest -m browser

bench: .venv/.installed
	$(PY) benchmarks/run.py $(ARGS)

notebooks: .venv/.installed
	$(PY) -m jupyter nbconvert --log-level=ERROR --to notebook --execute --inplace notebooks/0*.ipynb

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis *.egg-info
