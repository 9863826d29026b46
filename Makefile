# make quickstart   install, make a small synthetic set, train and test grm_tiny on it
# make test         install, run the quick tests on the CPU;  make test-all  adds the slow ones
# make torture      kill programs at random moments and damage files, for 20 minutes; TORTURE="--seed 1" draws others
# make gpu          check this project on CUDA and measure how fast it is there;  make speed  measures it on the CPU
# make toolkits     install the toolkits of others (got10k, VOT) that some tests run our trackers under
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLKITS := $(VENV)-vot/.installed

.PHONY: install toolkits quickstart test test-all torture gpu speed clean

install: $(INSTALLED)

$(INSTALLED): requirements.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

toolkits: $(TOOLKITS)

$(TOOLKITS): $(INSTALLED) tests/requirements-toolkits.txt tests/requirements-vot.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements-toolkits.txt
	$(PYTHON) -m venv $(VENV)-vot
	$(VENV)-vot/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements-vot.txt
	touch $@

quickstart: install
	$(BIN)/python tracking/quickstart.py

# Two processes with a thread each, since torch's threads would disturb each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

test: install
	$(BIN)/python -m ruff check .
	$(PYTEST) -m "not slow and not gpu"

test-all: install
	$(BIN)/python -m ruff check .
	$(PYTEST) -m "not gpu"

torture: install
	PYTHONPATH=tests $(BIN)/python -m torture $(TORTURE)

# A failed check does not prevent the measurement, and fails the command at its end.
gpu: install
	timeout 200 $(BIN)/python -m pytest -q -n 4 -m gpu tests/gpu; checks=$$?; \
	PYTHON=$(BIN)/python sh tracking/measure_speed.sh gpu && exit $$checks

speed: install
	PYTHON=$(BIN)/python sh tracking/measure_speed.sh cpu

clean:
	rm -rf $(VENV) $(VENV)-vot build *.egg-info
