# Everything works on a fresh machine with Python 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Test files go to the next free process in the order of their names; those that start services come first.
PROCESSES ?= 2
PYTEST := $(BIN)/pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --durations=40

# Services start many processes: without compiled modules kept on disk each would compile all sources again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo up down test test-slow test-faults test-faults-full test-security test-browser screenshots spectral test-gpu lint bench openapi settings clean

demo: $(STAMP)  ## distil the bundled dataset end to end and print the report
	$(BIN)/distillery demo

up: $(STAMP)  ## start the service in the background, print its address and an API key
	$(BIN)/distillery up --detach

down: $(STAMP)  ## stop it
	$(BIN)/distillery down

test: $(STAMP)  ## every test that takes seconds
	$(PYTEST) -m "not slow and not faults and not security and not browser and not gpu"

test-slow: $(STAMP)  ## the figures of the papers, and other tests of minutes
	$(PYTEST) -m "slow and not faults" --timeout=1800

test-faults: $(STAMP)  ## kill every part of a running service
	$(PYTEST) tests/faults tests/integration/test_production_processes.py -m "faults and not slow" --timeout=600 --reliability docs/reliability.md

test-faults-full: $(STAMP)  ## the same with every count of the fault table: about an hour
	$(PYTEST) tests/faults tests/integration/test_production_processes.py -m "faults" --timeout=3600 --reliability docs/reliability.md

test-security: $(STAMP)  ## attack a running service
	$(PYTEST) tests/security --timeout=600

test-browser: $(STAMP)  ## the pages in a real browser; skipped where there is none
	.ci/browser
	$(BIN)/pytest -q tests/browser -m browser --timeout=300 --durations=10 -rs

screenshots: $(STAMP)  ## write docs/screenshots from a service that runs for it
	.ci/browser
	$(BIN)/python -m tests.browser.screenshots docs/screenshots

spectral:  ## lint openapi.json; needs node
	npx --yes @stoplight/spectral-cli@6.16.3 lint openapi.json --ruleset tests/security/spectral.yaml --fail-severity=warn

test-gpu: $(STAMP)
	$(BIN)/pytest -q -m "gpu"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(STAMP)  ## every benchmark; results in benchmarks/results
	$(BIN)/python -m benchmarks

openapi: $(STAMP)  ## write openapi.json from the code
	$(BIN)/python -m app.main openapi > openapi.json

settings: $(STAMP)  ## write docs/settings.md from the code
	$(BIN)/python -m docs.write_settings

# Files of production: see docs/operations.md.
.PHONY: lock sbom images-digests secrets

lock: $(STAMP)  ## resolve what images are built from, with hashes; needs the package indexes
	$(BIN)/pip install -q "pip-tools>=7.5,<8"
	$(BIN)/python -m deploy.lock

sbom: $(STAMP)  ## write deploy/sbom from the locks
	$(BIN)/python -m deploy.sbom

images-digests:  ## write deploy/images.env: what the tags of deploy/images.txt mean now; needs docker
	$(PYTHON) -m deploy.images

secrets:  ## make the secrets that the folder `secrets` lacks
	$(PYTHON) -m deploy.write_secrets

# A version of torch is pinned by range in pyproject.toml so that the CPU build is taken where it is offered.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -e ".[server,worker,dev]"
	touch $@

clean:
	rm -rf .venv .distillery .pytest_cache .ruff_cache
