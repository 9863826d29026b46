# make quickstart   install, make a small synthetic set, train and test grm_tiny on it
# make test         install, run the quick tests on the CPU;  make test-all  adds the slow ones
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install quickstart test test-all clean

install: $(INSTALLED)

$(INSTALLED): requirements.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

quickstart: install
	$(BIN)/python tracking/quickstart.py

test: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pytest -q -m "not slow"

test-all: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pytest -q

clean:
	rm -rf $(VENV) build *.egg-info
