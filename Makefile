# Every target makes .venv and installs what it needs on first use.
#   make study [DATASET=digits|hd|commands|shd|folder] [NAME=run folder] [ARGS="-p epochs 10"]
#   make sweep SWEEP=learning_rate_epochs [DATASET=...] [ARGS="--workers 4" or "--shard 3/20"]
#   make LOCKED=1 ... installs the versions in constraints.txt, with which the tests passed
PYTHON ?= python3
# PYTHONDONTWRITEBYTECODE, which many containers set, makes every kernel compile torch and sympy
# again: ten seconds
unexport PYTHONDONTWRITEBYTECODE
# in a copied checkout the package that .venv has installed is another one
PACKAGES := $(CURDIR):$(CURDIR)/packages/corpus:$(CURDIR)/packages/engine:$(CURDIR)/packages/judge:$(CURDIR)/applications/circuit:$(CURDIR)/applications/course
export PYTHONPATH := $(PACKAGES)$(if $(PYTHONPATH),:$(PYTHONPATH))
PY := .venv/bin/python

# These variables name files, runs, sweeps and data sets. A name may contain any character, so
# neither make nor the shell may read it as code: make takes its text without expanding it, and a
# recipe gets it as "$$FILE" from the environment, never as $(FILE).
NAMES := DATASET NAME SWEEP RUN OUT FILE BOARD
# Other programs use the same names (some systems set NAME): only make's command line counts.
from_command_line = $(if $(filter command,$(origin $1)),$(value $1))
$(foreach name,$(NAMES) LOCKED,$(eval override $(name) := $$(call from_command_line,$(name))))
export $(NAMES)
# make ignores a variable that it doesn't know, and `make study dataset=hd` would use another data set
$(foreach name,dataset name sweep run out file args locked,$(if $(filter command,$(origin $(name))),\
	$(error $(name)= is unknown. The variables are in capital letters: see make help)))
# ARGS is a list of words: the shell splits it, and reads its quotes and dollar signs.
ifneq ($(origin ARGS),command line)
override ARGS :=
endif

INSTALLED := .venv/.installed$(if $(LOCKED),-locked)
INSTALL := $(PY) -m pip install --disable-pip-version-check $(if $(LOCKED),-c constraints.txt)

# the quoted name that a target needs, as the shell reads it from the environment
missing = $(error $1= is missing: write make $(firstword $(MAKECMDGOALS)) $1=...; see make help)
given = $(if $($1),"$$$1",$(or $(findstring --help,$(ARGS)),$(call missing,$1)))

.PHONY: help study data sweep export rtl bitstream say hear lab bench test lint slow full browser slurm wheels notebooks site lock clean

help:
	@echo "make study      run the whole study: data, surrogates, training, analysis (without the exercises)"
	@echo "                DATASET=digits (default), hd, commands, shd (official) or a folder;"
	@echo "                NAME=run folder; ARGS='-p epochs 10' sets any parameter of the notebooks"
	@echo "make data       prepare the data only, DATASET= as above"
	@echo "make sweep      train what has no result yet: SWEEP= names a file of sweeps/ (runs of a notebook)"
	@echo "                or of evidence/plans/ (networks of five folds, such as SWEEP=people), and writes tables;"
	@echo "                DATASET= as above, for runs of a notebook; ARGS='--workers 4' and others: ARGS=--help"
	@echo "make export     write a network's circuit: integers, C, Verilog, test vectors, README;"
	@echo "                RUN=run folder, a network of results/networks, or circuit, which needs no data;"
	@echo "                OUT=folder to write;"
	@echo "                DATASET= where its data is now; ARGS='--circuit 8-8-16 --lanes 4'"
	@echo "make rtl        simulate the circuit's core, place and route it on FPGAs; RUN=, OUT= as above"
	@echo "make bitstream  write build/listener.bin, a listener with a microphone; BOARD=icebreaker or ulx3s,"
	@echo "                RUN=run folder or network that listens by the filter bank, OUT=file"
	@echo "make say        write a C program that listens, and open build/say.html, a demo page with it;"
	@echo "                RUN=run folder or a network of results/networks, OUT=page to write"
	@echo "make hear       recognize a spoken digit: FILE=digit.wav names a recording, else the microphone records"
	@echo "make lab        copy the notebooks to my_notebooks/, without outputs, and open them in JupyterLab"
	@echo "make bench      measure the engine's speed (some ten minutes, leave the machine alone)"
	@echo "make test       run unit tests, and small versions of the notebooks"
	@echo "make lint       style, types, import layering"
	@echo "make slow       run the tests that take minutes"
	@echo "make full       run the tests at full size: as many utterances as SHD has, a hundred recordings in C"
	@echo "make browser    test the notebooks in JupyterLab and the demo in a browser (needs chromium)"
	@echo "make slurm      the job array of sweeps/clusters.md on a small SLURM (apt-get install slurm-wlm munge)"
	@echo "make wheels     build the wheel of each package, and try it in a fresh environment;"
	@echo "                PYTHON=python3.12 tries another version (gigabytes and minutes each)"
	@echo "make notebooks  run the committed notebooks again, in place, and write img/"
	@echo "make site       README, documents, API and notebooks as pages with a search: build/site/index.html"
	@echo "make lock       write the installed versions to constraints.txt; LOCKED=1 installs them"
	@echo "make clean      remove .venv, caches and compiled code; data/ and runs/ stay"
	@echo
	@echo "Write these variables after the target, as in make study DATASET=hd. Variables of the"
	@echo "environment are ignored, except PYTHON. A name may contain any character. The shell splits"
	@echo "ARGS into words, so quote a word that has spaces:"
	@echo "make hear FILE='my digit.wav' ARGS=\"--network 'my network'\""

# an environment without packages
$(INSTALLED)-venv:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed; name one: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	@touch $(INSTALLED)-venv

$(INSTALLED): $(INSTALLED)-venv pyproject.toml $(if $(LOCKED),constraints.txt)
	$(INSTALL) --no-compile --progress-bar on -q -e '.[study]'
	@touch $(INSTALLED)

# what tests and linters need, in one go
$(INSTALLED)-test: $(INSTALLED)-venv pyproject.toml $(if $(LOCKED),constraints.txt)
	$(INSTALL) --no-compile --progress-bar on -q -e '.[study,circuit,test]'
	@touch $(INSTALLED) $(INSTALLED)-circuit $(INSTALLED)-test

study: $(INSTALLED)
	@$(PY) -m shd_helpers.study.notebooks $(if $(DATASET),-p dataset "$$DATASET") $(if $(NAME),-p run_name "$$NAME") $(ARGS)

data: $(INSTALLED)
	@$(PY) -m shd_helpers.study.notebooks --data-only $(if $(DATASET),-p dataset "$$DATASET") $(ARGS)

sweep: $(INSTALLED)
	@$(PY) -m evidence $(call given,SWEEP) $(if $(DATASET),--set dataset="$$DATASET") $(ARGS)

# what the circuit's files need
$(INSTALLED)-circuit: $(INSTALLED)
	$(INSTALL) -q -e '.[circuit]'
	@touch $(INSTALLED)-circuit

# with what simulates, places and routes it
$(INSTALLED)-fpga: $(INSTALLED)-circuit
	$(INSTALL) -q -e '.[fpga]'
	@touch $(INSTALLED)-fpga

export: $(INSTALLED)-circuit
	@$(PY) -m shd_circuit.export $(call given,RUN) $(if $(OUT),--out "$$OUT") $(if $(DATASET),--dataset "$$DATASET") $(ARGS)

rtl: $(INSTALLED)-fpga
	@$(PY) -m shd_circuit.rtl $(call given,RUN) $(if $(OUT),--out "$$OUT") $(if $(DATASET),--dataset "$$DATASET") $(ARGS)

bitstream: $(INSTALLED)-fpga
	@$(PY) -m shd_circuit.rtl.bitstream $(if $(RUN),"$$RUN") $(if $(BOARD),--board "$$BOARD") $(if $(OUT),--out "$$OUT") $(ARGS)

# with the C compiler of the demo page
$(INSTALLED)-say: $(INSTALLED)-circuit
	$(INSTALL) -q -e '.[demo]'
	@touch $(INSTALLED)-say

say: $(INSTALLED)-say
	@$(PY) -m shd_circuit.say $(if $(RUN),"$$RUN") $(if $(OUT),--out "$$OUT") --open $(ARGS)

hear: $(INSTALLED)
	@$(PY) -m shd_helpers.hear $(if $(FILE),"$$FILE") $(ARGS)

lab: $(INSTALLED)-circuit
	@$(PY) -m shd_course.student_copy
	$(PY) -m jupyter lab --notebook-dir=. my_notebooks/00_first_look.ipynb $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

bench: $(INSTALLED)-test
	cd packages/engine && "$(CURDIR)/$(PY)" -m engine_benchmark $(ARGS)

lint: $(INSTALLED)-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports --no-logo
	$(PY) -m mypy

test: $(INSTALLED)-test
	$(PY) -m pytest -n auto --dist loadgroup

slow: $(INSTALLED)-test $(INSTALLED)-site $(INSTALLED)-fpga
	$(PY) -m pytest -n auto -m "slow and not full"

full: $(INSTALLED)-test $(INSTALLED)-fpga
	$(PY) -m pytest -n auto -m full

# installs the package anew: not while something runs
$(INSTALLED)-browser: $(INSTALLED)
	$(INSTALL) -q -e '.[browser]'
	@touch $(INSTALLED)-browser

browser: $(INSTALLED)-test $(INSTALLED)-browser $(INSTALLED)-say
	$(PY) -m pytest -m browser

slurm: $(INSTALLED)-test
	$(PY) -m pytest -m slurm tests/test_slurm.py

wheels:
	$(PYTHON) tests/wheels.py

notebooks: $(INSTALLED)-circuit
	SHD_IMG_DIR=img $(PY) -m jupyter nbconvert --log-level=ERROR --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False notebooks/0*.ipynb

$(INSTALLED)-site: $(INSTALLED)
	$(INSTALL) -q -e '.[site]'
	@touch $(INSTALLED)-site

# nothing is executed: the pages show what is committed
site: $(INSTALLED)-site $(INSTALLED)-say
	$(PY) -m sphinx -W --keep-going -q -b html -c docs . build/site
	@$(PY) -m shd_circuit.say --out build/site/say.html
	@echo "Open build/site/index.html"

# without local versions such as torch's +cpu, because PyPI has none
lock: $(INSTALLED)-test
	@mkdir -p build
	$(PY) -m pip freeze --all --exclude-editable > build/frozen.txt
	sed -e 's/+.*//' -e '/^pip==/d' build/frozen.txt > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis build *.egg-info packages/*/build packages/*/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
