# Everything a person or CI needs; each target sets up what it uses.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
HOME_FLAG := $(if $(HOME_DIR),--home "$(HOME_DIR)",)

.PHONY: setup dev run test check demo bench sim-full soak fuzz peers vectors lock clean

setup: $(VENV)/.installed
dev: $(VENV)/.dev-installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Nexus Node needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing. Cure: sudo apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python requirements.lock build-requirements.lock pyproject.toml
	$(PIP) install --require-hashes -r build-requirements.lock
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-installed: $(VENV)/.installed dev-requirements.lock
	$(PIP) install --require-hashes -r dev-requirements.lock
	@touch $@

run: setup
	@$(BIN)/nexus $(HOME_FLAG) init --if-missing
	@exec $(BIN)/nexus $(HOME_FLAG) run --show-contact

test: dev
	$(BIN)/python -m pytest -n 2

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: setup
	@$(BIN)/python examples/demo.py

bench: setup
	$(BIN)/python -m bench

# Every scenario of the simulator in full: reports in build/sim, figures into docs/scenarios.
sim-full: setup
	$(BIN)/python -m bench.scenarios

soak: dev
	$(BIN)/python -m pytest -m soak --timeout 3600 tests

fuzz: dev
	$(BIN)/python -m pytest -n 2 -m fuzz --timeout 3600 tests

# Programs of others against our emulators; PEER_PY names a Python that has them (docs/firmware.md).
peers: dev
	$(BIN)/python -m pytest -m peer -rs --timeout 300 tests/peers

vectors: dev
	$(BIN)/python tests/vectors/make_vectors.py
	$(BIN)/python tests/vectors/make_routing.py
	$(BIN)/python tests/vectors/make_reconcile.py
	$(BIN)/python tests/vectors/make_custody.py
	$(BIN)/python tests/vectors/make_group.py

# Re-pins every dependency; needs pip-tools.
lock:
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --extra radio -o requirements.lock pyproject.toml
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras -c requirements.lock -o dev-requirements.lock dev-requirements.in
	echo 'hatchling\neditables' | pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras -c requirements.lock -o build-requirements.lock -

clean:
	rm -rf $(VENV) dist build
