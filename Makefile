# Every target does its own set-up, in .venv; the second time it is quick. Written for any make, 3.81 included.
SHELL := bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
# Tests run in so many processes, each with servers of its own.
JOBS ?= 2
# How long the fuzzer looks, all its targets together.
SECONDS_OF_FUZZ = $(or $(SECONDS),60)
# Simulated worlds that are looked through.
SEEDS ?= 10000
# Minutes for which stores are under load and faults.
MINUTES ?= 30
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHONS := python3.13 python3.12 python3.11 python3.14 python3
IS_NEW := import sys; sys.exit(sys.version_info < (3, 11))
RUNTIME := compile -q --universal --python-version 3.11 --generate-hashes --all-extras --no-header
COMPILE := $(RUNTIME) --group dev
# What the image of production installs, of what the lock file pins.
IMAGE := compile -q --universal --python-version 3.11 --generate-hashes --constraints requirements.lock --no-header --no-annotate \
  $(patsubst %,--extra %,pgvector neo4j qdrant api mcp otel openai backup redis)
# Where what is released is put, and the time that its files bear: that of the commit, where there is one.
DIST ?= dist
EPOCH = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),1577836800)

.PHONY: help demo test test-long faults lint lint-code lint-types lint-imports lint-lock format lock model simulate mutants soak fuzz bench bench-import bench-sync docs docs-serve dist dist-tag clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

demo: $(STAMP)  ## Import this repository's history into both stores, and show what they do
	@$(BIN)/diptych demo

test: $(STAMP)  ## Run the tests, against real PostgreSQL and real Neo4j
	@$(BIN)/pytest -m "not long and not faults" -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: $(STAMP)  ## Run the tests that take minutes
	@$(BIN)/pytest -m long --timeout 1800 $(ARGS)

faults: $(STAMP)  ## Break it at every point, on real servers, and show what was lost
	@$(BIN)/pytest -m faults --timeout 3600 -rA $(ARGS)

simulate: $(STAMP)  ## Run SEEDS simulated worlds, and print the command that replays each one that breaks a rule
	@$(BIN)/python -m tests.faults.simulator --seeds $(SEEDS) $(ARGS)

mutants: $(STAMP)  ## Take each guard out of a copy, one at a time, and show which test notices
	@$(BIN)/python -m tests.faults.mutants $(ARGS)

soak: $(STAMP)  ## Keep real stores under load and faults for MINUTES, and see that nothing grows and nothing is lost
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(ARGS)

fuzz: $(STAMP)  ## Fuzz for SECONDS what takes apart that others wrote (needs Linux on x86-64)
	@VIRTUAL_ENV="$$PWD/$(VENV)" $(BIN)/uv pip install -q --group fuzz
	@$(BIN)/python -m tests.hostile.fuzz --seconds $(SECONDS_OF_FUZZ) $(ARGS)

lint: lint-code lint-types lint-imports lint-lock  ## Check style, types, the direction of imports, the lock file

lint-code: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-types: $(STAMP)
	$(BIN)/mypy

lint-imports: $(STAMP)
	$(BIN)/lint-imports

# Compiled again from what is there: only what pyproject.toml no longer allows, or newly asks for, makes a difference.
lint-lock: $(STAMP)
	@fresh=$$(mktemp) && trap 'rm -f "$$fresh"' EXIT && cp requirements.lock "$$fresh" && \
	$(BIN)/uv pip $(COMPILE) -o "$$fresh" pyproject.toml && \
	{ cmp -s requirements.lock "$$fresh" || { echo "requirements.lock is not current. Try: make lock" >&2; exit 1; }; }

format: $(STAMP)  ## Put the code into its form
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format -q .

lock: $(STAMP)  ## Bring the lock file up to pyproject.toml and to the newest versions
	@$(BIN)/uv pip $(COMPILE) --upgrade -o requirements.lock pyproject.toml
	@$(BIN)/uv pip $(IMAGE) --upgrade -o deploy/image/requirements.lock pyproject.toml

model: $(STAMP)  ## Explore the model of the protocol, whole and with each guard taken out (needs spin and gcc)
	@$(BIN)/python -m tests.faults.model $(ARGS)

bench: $(STAMP)  ## Measure writes, checks, repairs and rebuilds beside the raw clients
	@$(BIN)/python -m benchmarks $(ARGS)

bench-import: $(STAMP)  ## Import a million lines, and watch memory and rate
	@$(BIN)/python -m benchmarks --only import --import-lines 1000000 $(ARGS)

bench-sync: $(STAMP)  ## Check, repair and rebuild among a million memories
	@$(BIN)/python -m benchmarks --only sync --sync-memories 1000000 $(ARGS)

docs: $(STAMP)  ## Build the documentation into site/; a warning is a failure
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q $(ARGS)
	@echo "The documentation is in site/index.html."

docs-serve: $(STAMP)  ## Show the documentation at http://127.0.0.1:8000, and follow changes
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve $(ARGS)

# The wheel is built of the sdist, so that one is known to suffice.
dist: $(STAMP)  ## Build sdist, wheel and a list of what they stand on (SBOM) into DIST, and check them
	@mkdir -p $(DIST) && rm -f $(DIST)/diptych-*
	@SOURCE_DATE_EPOCH=$(EPOCH) $(BIN)/python -m build --no-isolation --outdir $(DIST) .
	@$(BIN)/twine check --strict $(DIST)/*.tar.gz $(DIST)/*.whl
	@$(BIN)/check-wheel-contents $(DIST)/*.whl
	@runtime=$$(mktemp) && trap 'rm -f "$$runtime"' EXIT && \
	$(BIN)/uv pip $(RUNTIME) -c requirements.lock -o "$$runtime" pyproject.toml && \
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type library --sv 1.6 --of JSON \
	  --output-reproducible -o $$(echo $(DIST)/*.whl | sed 's/-py3-none-any.whl$$/.cdx.json/') "$$runtime"

dist-tag: $(STAMP)  ## Check that TAG may be released: it is the version's, and the changelog has that version's section
	@$(BIN)/python -m tests.release.tag "$(TAG)"

clean:  ## Remove what the other targets made here
	rm -rf $(VENV) dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache benchmarks/results

# A set-up that was interrupted is taken up again: what counts is the stamp, and a .venv without pip is made anew.
$(STAMP): requirements.lock pyproject.toml
	@for name in $(PYTHONS); do \
	  if $$name -c '$(IS_NEW)' >/dev/null 2>&1; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer is needed, and there is none on the PATH." >&2; exit 1; fi; \
	echo "Setting up $(VENV); it takes a minute or two, once." >&2; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $$python -m venv --clear $(VENV)
	@$(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install -q --disable-pip-version-check uv
	@VIRTUAL_ENV="$$PWD/$(VENV)" $(BIN)/uv pip install -q --compile-bytecode -r requirements.lock
	@VIRTUAL_ENV="$$PWD/$(VENV)" $(BIN)/uv pip install -q --no-deps -e .
	@touch $@
