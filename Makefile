# Andon. `make help` lists the targets; every target sets up what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp-$(shell cksum < requirements.lock 2>/dev/null | cut -d' ' -f1)
export PYTHONPATH := $(CURDIR)
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-fl test lint types imports tidy check ci bench sim twins oracle model-check mutants gateway-kill chaos vectors docs audit lock clean fmt

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## create .venv with the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@echo "andon: setting up $(VENV) (first time about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else "andon needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; set PYTHON=python3.12 or the like")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.stamp-*; touch $@

demo: setup ## 4 validators predict on generated data; DATA=../shared/data/cmapss for NASA C-MAPSS
	@$(BIN)/python -m scripts.demo $(if $(DATA),--data $(DATA))

demo-fl: setup ## 4 validators and 4 plants train over the ledger; DATA=../shared/data/cmapss for NASA C-MAPSS
	@$(BIN)/python -m scripts.demo_fl $(if $(DATA),--data $(DATA))

test: setup ## the whole test suite
	@$(BIN)/python -m pytest -q

lint: setup ## ruff: lint and format check
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

fmt: setup ## format and apply safe fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup ## mypy --strict
	@$(BIN)/mypy

imports: setup ## layer rules
	@$(BIN)/lint-imports

tidy: setup ## size limits and house rules that linters do not know
	@$(BIN)/python -m scripts.tidy

check: lint types imports tidy ## everything static

ci: check test ## what .ci/run calls

bench: setup ## benchmarks with printed conditions; ONLY=contracts,ledger,... to choose
	@$(BIN)/python -m scripts.bench $(if $(ONLY),--only $(ONLY))

sim: setup ## simulate: SEED=7 replays one seed, COUNT=1000 runs many
	@$(BIN)/python -m scripts.sim $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) $(if $(HOURS),--hours $(HOURS))

twins: setup ## one key twice under partitions a step: N=1000 scenarios
	@$(BIN)/python -m scripts.twins $(if $(N),--count $(N))

oracle: setup ## the contract engine against CPython and a walker: N=200000 programs, SEED=0
	@$(BIN)/python -m scripts.oracle $(if $(N),--count $(N)) $(if $(SEED),--seed $(SEED))

model-check: setup ## all reachable states of the core: SLOTS=2
	@$(BIN)/python -m scripts.model_check $(if $(SLOTS),--slots $(SLOTS))

gateway-kill: setup ## 100,000 messages and 20 kills of the gateway: nothing lost, nothing twice (needs mosquitto)
	@$(BIN)/python -m scripts.gateway_campaign $(if $(SEED),--seed $(SEED))

mutants: setup ## bugs put in on purpose, each has to be noticed
	@$(BIN)/python -m scripts.mutants

chaos: setup ## real processes under random faults: SEED=.., N=.. runs
	@$(BIN)/python -m scripts.chaos $(if $(SEED),--seed $(SEED)) $(if $(N),--runs $(N))

vectors: setup ## rewrite the golden vectors (only with a change of bytes, and say so)
	@$(BIN)/python -m scripts.make_vectors

docs: setup ## check links and run the code blocks of the documentation
	@$(BIN)/python -m scripts.check_docs

audit: setup ## security floors, licences and bill of materials of what the image installs
	@$(BIN)/python -m scripts.audit

lock: ## resolve requirements.lock and the locks of the images anew
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --group dev --all-extras pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group node --group models -c requirements.lock pyproject.toml -o docker/requirements.lock
	@echo 'jax[cuda12]' | $(BIN)/uv pip compile --quiet --python-version 3.13 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header --no-annotate --group node --group models -c requirements.lock pyproject.toml - -o docker/requirements-gpu.lock

clean: ## remove the environment and caches, not the data of networks
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
