# Two commands on a fresh machine: `make demo` and `make test`. Both use .venv; the
# stamps in it say what has been installed, so a second call goes straight to work.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help demo test environment lint test-device campaign bundles results pins clean

PYTHON ?= python3
PORT ?= 8000
DATA ?= $(abspath $(or $(TIEDGE_DATA),../shared/data))

VENV := .venv
BIN := $(VENV)/bin
# Errors only: pip repeats its warnings for every package.
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
DEFINED_BY := pyproject.toml constraints.txt
BUNDLES := edge_runtime/bundles
# Of these the wheel has no fp32 files, which are several megabytes each.
INT8_ALONE := commands lm transcribe
TFLITE_RUNTIME := $(VENV)/tflite-runtime/bin/python

# Programs and libraries that tests use, and the Debian package of each.
SYSTEM := chromium:chromium espeak-ng:espeak-ng ffmpeg:ffmpeg flite:flite g++:g++ \
    libportaudio.so.2:libportaudio2 pulseaudio:pulseaudio shellcheck:shellcheck \
    text2wave:festvox-kallpc16k Xvfb:xvfb

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/  make \1\t\2/p' Makefile | expand -t 22

demo: $(VENV)/.demo $(VENV)/.engines  ## check the ready-made bundles, measure this machine, serve the page (PORT=8000)
	@shopt -s nullglob
	for bundle in $(BUNDLES)/*/; do
	    $(BIN)/tiedge inspect "$$bundle" | sed -n '1p; / compressed$$/p; /^  weights:/p'
	done
	for bundle in $(BUNDLES)/*/; do
	    $(BIN)/tiedge bench "$$bundle" --runs 20
	done | awk '!/^short run/ || !told++'
	exec $(BIN)/tiedge serve --port $(PORT)

test: lint  ## install everything that tests need, then lint, types and all tests
	@export TIEDGE_DATA=$(DATA)
	if [ -x $(TFLITE_RUNTIME) ]; then
	    export TIEDGE_TFLITE_RUNTIME_PYTHON=$(abspath $(TFLITE_RUNTIME))
	fi
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

environment: $(VENV)/.test $(VENV)/.tflite-runtime system  ## all that `make test` installs, and nothing run

lint: environment  ## ruff and mypy
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-device: environment  ## the built wheel in an environment of its own, without torch
	@$(BIN)/python -m pytest tests/test_wheel.py

campaign: environment  ## the long measurements; writes results/ (hours)
	@export TIEDGE_DATA=$(DATA)
	$(BIN)/python -m pytest -m campaign
	$(BIN)/python -m training.clustering_results
	$(BIN)/python -m training.live_results
	$(BIN)/python -m training.speech_study
	$(BIN)/python -m training.whole_photo

results: environment  ## measure the published figures anew: results/ and the tables of README.md and docs/ (some hours; ONLY=denoise, SHORT=1)
	@TIEDGE_DATA=$(DATA) $(BIN)/python -m training.results $(if $(ONLY),--only $(ONLY)) $(if $(SHORT),--short)

bundles: environment  ## rebuild the ready-made bundles from the committed checkpoints
	@for checkpoint in training/checkpoints/*/; do
	    name=$$(basename "$$checkpoint")
	    only=()
	    if [[ " $(INT8_ALONE) " == *" $$name "* ]]; then only=(--precisions int8); fi
	    $(BIN)/tiedge export "$$checkpoint" -o "$(BUNDLES)/$$name" "$${only[@]}"
	done

pins: environment  ## write constraints.txt anew from what is installed
	@{ sed -n '/^#/p' constraints.txt
	   $(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable |
	     sed -E 's/\+cpu$$//; /^#/d'; } > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove .venv and all that was built; runs/ stays
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	    echo "$$($(PYTHON) --version) is too old, expected 3.11 or newer; name one with PYTHON=" >&2
	    exit 1
	}
	$(PYTHON) -m venv $(VENV) || {
	    rm -rf $(VENV)
	    echo "no virtual environment could be made; on Debian: apt-get install python3-venv" >&2
	    exit 1
	}

$(VENV)/.demo: $(DEFINED_BY) | $(BIN)/python
	@echo "Installing the runtime and the demo ..."
	$(INSTALL) -e '.[demo]'
	touch $@

# The second engine is a bonus of the demo: the shim needs the wheel's libraries and a
# compiler, and none of the wheel's requirements.
$(VENV)/.engines: $(DEFINED_BY) | $(VENV)/.demo
	@if ! $(INSTALL) --no-deps executorch; then
	    echo "executorch cannot be installed here: the demo runs on litert alone"
	elif ! command -v g++ > /dev/null; then
	    echo "g++ is not installed: the demo runs on litert alone"
	fi
	touch $@

# torch is asked for by name and version: an index that has the CPU build gives that. As
# somebody's requirement alone, the newest CUDA build would come.
$(VENV)/.test: $(DEFINED_BY) | $(BIN)/python
	@echo "Installing everything that the tests need (some minutes) ..."
	$(INSTALL) "$$(grep '^torch==' constraints.txt)" \
	    -e '.[train,export,demo,live,listen,evaluate,test]'
	touch $@ $(VENV)/.demo $(VENV)/.engines

# An environment of its own: tflite-runtime needs numpy 1, and has wheels for Python
# 3.11 at most. Its tests are skipped by name where it cannot be had.
$(VENV)/.tflite-runtime: | $(BIN)/python
	@$(PYTHON) -m venv $(VENV)/tflite-runtime
	if ! $(TFLITE_RUNTIME) -m pip install -qq --disable-pip-version-check \
	    tflite-runtime==2.14.0 numpy==1.26.4 Pillow; then
	    echo "tflite-runtime cannot be installed here: its tests are skipped"
	    rm -rf $(VENV)/tflite-runtime
	fi
	touch $@

.PHONY: system
system:
	@missing=()
	for entry in $(SYSTEM); do
	    name=$${entry%%:*}
	    command -v "$$name" > /dev/null || [[ $$(/sbin/ldconfig -p) == *"$$name"* ]] ||
	        missing+=("$${entry##*:}")
	done
	if [ $${#missing[@]} -eq 0 ]; then exit 0; fi
	if [ "$$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then
	    echo "Installing $${missing[*]} ..."
	    export DEBIAN_FRONTEND=noninteractive
	    if apt-get update -qq > /dev/null &&
	       apt-get install -qq -y --no-install-recommends "$${missing[@]}" > /dev/null
	    then exit 0; fi
	fi
	echo "Not installed, and the tests that need them are skipped: $${missing[*]}"
	echo "To run them: sudo apt-get install $${missing[*]}"
