# Everything a person or CI needs; each target sets up what it uses.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PEERS  := .peers
PEER_PIP := $(PEERS)/bin/python -m pip --disable-pip-version-check --quiet --retries 1 --timeout 20
HOME_FLAG := $(if $(HOME_DIR),--home "$(HOME_DIR)",)

.PHONY: setup dev run test test-peers check demo bench sim-full soak fuzz peers vectors lock clean

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

# All tests, with those that need programs of others: installed beside, or skipped with words if they cannot be.
# Three at a time on two cores: half of their time they wait for ports, processes and the clock.
test: dev
	@$(MAKE) --no-print-directory $(PEERS)/.installed || echo "the peer programs cannot be installed: their tests are skipped" >&2
	PEER_PY="$${PEER_PY:-$$(test -e $(PEERS)/.installed && echo $(CURDIR)/$(PEERS)/bin/python)}" \
		$(BIN)/python -m pytest -n 3 -rs -m "not soak and not fuzz"

# The tests with programs of others, and with rns: its licence is not open source, so only when it is asked for.
test-peers: dev $(PEERS)/.rns-installed
	PEER_PY=$(CURDIR)/$(PEERS)/bin/python $(BIN)/python -m pytest -n 2 -m peer -rs --timeout 600 tests/peers

$(PEERS)/.installed: peer-requirements.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEER_PIP) install --require-hashes -r peer-requirements.lock
	@touch $@

$(PEERS)/.rns-installed: $(PEERS)/.installed peer-rns-requirements.lock
	$(PEER_PIP) install --require-hashes -r peer-rns-requirements.lock
	@touch $@

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

# The same with a Python of your own that has the peers, named by PEER_PY (docs/firmware.md).
peers: dev
	$(BIN)/python -m pytest -m peer -rs --timeout 600 tests/peers

vectors: dev
	$(BIN)/python tests/vectors/make_vectors.py
	$(BIN)/python tests/vectors/make_routing.py
	$(BIN)/python tests/vectors/make_reconcile.py
	$(BIN)/python tests/vectors/make_custody.py
	$(BIN)/python tests/vectors/make_group.py
	$(BIN)/python tests/vectors/make_pub.py
	$(BIN)/python tests/vectors/make_mutable.py
	$(BIN)/python tests/vectors/make_transfer.py

# Re-pins every dependency; needs pip-tools.
lock:
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --extra radio --extra preview -o requirements.lock pyproject.toml
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras -c requirements.lock -o dev-requirements.lock dev-requirements.in
	echo 'hatchling\neditables' | pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras -c requirements.lock -o build-requirements.lock -
	pip-compile -q --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras -o peer-requirements.lock peer-requirements.in
	pip-compile -q --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras -c peer-requirements.lock -o peer-rns-requirements.lock peer-rns-requirements.in

clean:
	rm -rf $(VENV) $(PEERS) dist build
