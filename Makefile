# make look    a pretrained STOVE on new videos: rollout, evaluation and a page to open, in half a minute
# make demo    generate billiards, train STOVE, roll out, evaluate, and make the page
# make test    every test
# make lint    formatting and common mistakes
# make types   what pyright says of the annotations
# make docs    the site of the documentation in site/; make docs-serve shows it while pages change
# make results the tables of docs/results.md and README.md: a night on two cores
# All need git, make and Python 3.11 to 3.13, and make .venv from requirements.lock when it is missing.
#
#   make test PYTHON=python3.12            another interpreter
#   make demo TORCH="torch==2.13.0 ..."    another torch than the locked one (README)
#   make test PY=python                    the environment that is active now, nothing is installed

VENV := .venv
ifeq ($(origin PY),command line)
READY :=
else
PY := $(VENV)/bin/python
READY := venv
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
endif
# only what was said on the command line: a PYTHON or TORCH in the environment may mean something else
ifneq ($(origin PYTHON),command line)
PYTHON :=
endif
ifneq ($(origin TORCH),command line)
TORCH :=
endif

DATA := data/billiards
RUN := runs/demo

.PHONY: help venv test lint types docs docs-serve look demo results lock clean
.NOTPARALLEL:

help:
	@sed -n 's/^# \(make [a-z].*\)/\1/p' Makefile

venv:
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" sh tools/venv.sh $(VENV)

# files are spread over two processes, each file in one of them
test: $(READY)
	$(PY) -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

# pyright would take the first python in PATH, which need not have the packages
types: $(READY)
	$(PY) -m pyright --pythonpath "$$($(PY) -c 'import sys; print(sys.executable)')"

# Its theme is maintained until May 2027; the hint at its successor is known.
docs docs-serve: export NO_MKDOCS_2_WARNING := 1

# strict: a broken link, a page that is in no menu and a docstring that names what is not there are errors
docs: $(READY)
	$(PY) -m mkdocs build --strict

docs-serve: $(READY)
	$(PY) -m mkdocs serve

# Files that are complete are kept, so a second demo goes on where the first was stopped.
demo: $(READY)
	$(PY) -m data_gen sim=billiards
	$(PY) -m seqvae train experiment=stove_billiards run=$(RUN) resume=auto
	$(PY) -m seqvae rollout run=$(RUN) data=$(DATA)/test.h5 index=0
	$(PY) -m seqvae evaluate run=$(RUN) data=$(DATA)/test.h5
	$(PY) -m seqvae report run=$(RUN)

# A look before anyone trains: the pretrained STOVE on 100 new sequences, and a page on what it did.
look: $(READY)
	$(PY) -m data_gen sim=billiards train=0 val=0 test=100 seed=1 out=data/fresh
	$(PY) -m seqvae rollout run=stove_billiards data=data/fresh
	$(PY) -m seqvae evaluate run=stove_billiards data=data/fresh sample=true
	$(PY) -m seqvae report run=stove_billiards

# Two trainings at a time, one thread each; goes on where it was stopped.
results: $(READY)
	$(PY) benchmarks/results.py --jobs 2
	$(PY) benchmarks/family.py --jobs 2
	$(PY) benchmarks/readme.py

# Resolves pyproject.toml anew for Python 3.11 to 3.13. torch stays where it is until its version here is changed:
# a new torch is a decision. Its CUDA packages are left out of the lock: torch itself asks for exact versions of them.
lock: $(READY)
	sh tools/lock.sh $(PY) 2.13.0

# caches only: data sets, runs and the environment are yours to delete
clean:
	rm -rf .pytest_cache .ruff_cache build dist site *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
