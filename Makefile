# Every target works on a machine that has only make and Python >= 3.11.
# Servers for demo and tests come from locked wheels; see `make doctor`.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# The first Python on PATH that is new enough; override with `make PYTHON=/path/to/python3.12`.
PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$candidate" && break; done)
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

# Stamps carry the lock's digest in their name, so an install is repeated exactly when the lock or the project changed.
digest = $(shell cat requirements/build.txt requirements/$(1).txt pyproject.toml devservers/pyproject.toml Makefile 2>/dev/null | cksum | cut -d' ' -f1)
RUN_STAMP := $(VENV)/installed-servers-$(call digest,servers)
DEV_STAMP := $(VENV)/installed-dev-$(call digest,dev)
BENCH_STAMP := $(VENV)/installed-bench-$(call digest,bench)
INTEROP_STAMP := $(VENV)/installed-interop-$(call digest,interop)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(RUN_STAMP) ## Run a whole shop: start, sell, rebuild, verify; stays up until Ctrl-C (ARGS="--exit --json" ends by itself)
	@$(BIN)/counterfoil demo $(ARGS)

.PHONY: test
test: $(DEV_STAMP) ## Run every check and test against real Postgres, Valkey and Kafka (ARGS="tests/domain -x" narrows it)
	@$(BIN)/python -m tests $(ARGS)

.PHONY: lint
lint: $(DEV_STAMP) ## Check style, types and layers only
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: $(DEV_STAMP) ## Rewrite the code in the project's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: bench
bench: $(BENCH_STAMP) ## Measure ours, the limits and the peers; writes docs/benchmarks.md (ARGS="--only append --json", "--quick")
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: chaos
chaos: $(DEV_STAMP) ## Inject faults into the distributed product for longer than the tests do (ARGS="--minutes 30", ARGS="--mutants")
	@$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: soak
soak: $(DEV_STAMP) ## Run everything that has a full size at that size, for hours (ARGS="--only simulation requests" narrows it)
	@$(BIN)/python -m tests.soak $(ARGS)

.PHONY: security
security: $(DEV_STAMP) ## Check dependencies for known vulnerabilities, write the bill of materials, scan the code (needs the network)
	@$(BIN)/python -m tests.supply_chain $(ARGS)

.PHONY: interop
interop: $(INTEROP_STAMP) ## Have implementations of others, in Go, verify what is sealed, and check what is asked of Stripe
	@$(BIN)/python -m pytest -q tests/event_store/proofs/interop/verified_by_others.py \
		tests/commands/gateways/interop/replayed_to_others.py $(ARGS)

.PHONY: doctor
doctor: $(RUN_STAMP) ## Show which servers would be used, with versions
	@$(BIN)/counterfoil doctor $(ARGS)

.PHONY: install
install: $(DEV_STAMP) ## Only install: virtual environment with everything the tests need

.PHONY: wheels
wheels: $(DEV_STAMP) ## Build both wheels into dist: the product, and the servers and examples that production leaves out
	@$(PIP) wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir dist . ./devservers
	@rm -rf build devservers/build

.PHONY: lock
lock: $(DEV_STAMP) ## Write requirements/*.txt anew from pyproject.toml (ARGS="--upgrade" takes newer indirect versions)
	@$(LOCK) requirements/build.in -o requirements/build.txt $(ARGS)
	@$(LOCK) pyproject.toml --extra servers --extra excel --extra gateway --extra dev -o requirements/dev.txt $(ARGS)
	@$(LOCK) pyproject.toml --extra servers -c requirements/dev.txt -o requirements/servers.txt $(ARGS)
	@$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt $(ARGS)
	@$(LOCK) requirements/bench.in -c requirements/dev.txt -o requirements/bench.txt $(ARGS)
	@$(LOCK) requirements/interop.in -c requirements/dev.txt -o requirements/interop.txt $(ARGS)

.PHONY: clean
clean: ## Remove the virtual environment and caches; shops below .counterfoil stay
	rm -rf $(VENV) build dist devservers/build *.egg-info devservers/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Counterfoil needs Python 3.11 or newer on PATH (or make PYTHON=...)." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module of $(PYTHON) does not work; on Debian and Ubuntu it is the package python3-venv." >&2; \
		rm -rf $(VENV); exit 1; }

# The project itself and what production leaves out of it come last, from this directory, with the locked build backend and nothing from the network.
# Ignored warnings: newer versions of pip show that setuptools warns of editable installations.
install_locked = echo "Installing requirements/$(1).txt into $(VENV) ..." && \
	$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/build.txt -r requirements/$(1).txt && \
	PYTHONWARNINGS=ignore $(PIP) install --quiet --no-deps --no-index --no-build-isolation --editable . --editable devservers && \
	rm -f $(VENV)/installed-$(1)-* && touch $@

# What the demo needs is part of what the tests need, so after `make test` it installs nothing.
$(RUN_STAMP): | $(BIN)/python
	@test -e $(DEV_STAMP) || { $(call install_locked,servers); }

$(DEV_STAMP): | $(BIN)/python
	@$(call install_locked,dev)

# Peers of the benchmarks that are no part of the product; a peer without a wheel for this machine is left out.
$(BENCH_STAMP): | $(DEV_STAMP)
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/bench.txt || \
		echo "The peers of requirements/bench.txt cannot be had here: their columns stay empty." >&2
	@rm -f $(VENV)/installed-bench-* && touch $@

# Toolchains of the implementations that ours are held against.
$(INTEROP_STAMP): | $(DEV_STAMP)
	@echo "Installing requirements/interop.txt into $(VENV) ..."
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/interop.txt
	@rm -f $(VENV)/installed-interop-* && touch $@
