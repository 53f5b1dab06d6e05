# Everything a clone needs: Python 3.11 or newer with venv, make and git. `make` lists the targets.
#
# ARGS goes to the command of the target:  make demo ARGS=--json   make test ARGS='-k codec'   make sim SEED=7
# Commands are not echoed and the set-up speaks on standard error, so that standard output is the command's alone.

PYTHON ?= python3
VENV   ?= .venv
SEEDS  ?= 200
CYCLES ?= 1
ROUNDS ?= 20

BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help venv test check format demo sim sim-mutants explore chaos lock clean \
        bench-idle bench-engine bench-failover bench-saturation bench-scale bench-books \
        bench-load bench-memory

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-23s %s\n", $$1, $$2}'

venv: $(STAMP) ## install the locked dependencies and this project into .venv
	@:

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	  "make: '$(PYTHON)' is not Python 3.11 or newer; install one, or name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo \
	  "make: '$(PYTHON)' has no venv or ensurepip module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' >&2
	@touch $@

test: check ## check, then every test
	@$(BIN)/python -m pytest $(ARGS)

check: $(STAMP) ## lint, format, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(STAMP) ## rewrite the sources in the one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

demo: $(STAMP) ## a local cluster under load loses its master (TARGET=URL, ARGS=--json)
	@$(BIN)/ha-stress demo $(if $(TARGET),--target '$(TARGET)') $(ARGS)

sim: $(STAMP) ## simulate the real cores under faults (SEEDS=200 CYCLES=1, or SEED=7 for one again)
	@$(BIN)/python -m tests.sim --seeds $(SEEDS) --cycles $(CYCLES) $(if $(SEED),--seed $(SEED)) $(ARGS)

sim-mutants: $(STAMP) ## plant defects in the cores: after how many seeds is each caught (SEEDS=2000 at most)
	@$(BIN)/python -m tests.sim.mutants $(if $(filter command line environment,$(origin SEEDS)),--seeds $(SEEDS)) $(ARGS)

explore: $(STAMP) ## every order of events in a small world of the real cores, to a stated bound
	@$(BIN)/python -m tests.explore $(ARGS)

chaos: $(STAMP) ## real processes under load and real faults, the books checked (ROUNDS=20 SEED=1)
	@$(BIN)/python -m chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench-idle: $(STAMP) ## what an idle cluster costs
	@$(BIN)/python -m bench.idle $(ARGS)

bench-engine: $(STAMP) ## what one engine sends a second, and how punctually
	@$(BIN)/python -m bench.engine $(ARGS)

bench-exchange: $(STAMP) ## what WebSocket, TCP, HTTP/2 and scenarios cost
	@$(BIN)/python -m bench.exchange $(ARGS)

bench-failover: $(STAMP) ## the failover beside that of Valkey Sentinel
	@$(BIN)/python -m bench.failover $(ARGS)

bench-saturation: $(STAMP) ## both cores saturated by the cluster's own load: is anybody wrongly held to be down?
	@$(BIN)/python -m bench.saturation $(ARGS)

bench-scale: $(STAMP) ## 100, 300 and 1,000 light nodes under three real sentinels and a real master
	@$(BIN)/python -m bench.scale $(ARGS)

bench-books: $(STAMP) ## every arrival accounted for while everything is killed (ARGS='--seconds 60 --rate 21000')
	@$(BIN)/python -m bench.books $(ARGS)

bench-load: $(STAMP) ## ours beside wrk, hey, k6 and Locust on one core (ARGS='--quick --plot build/load.png')
	@$(BIN)/python -m bench.load $(ARGS)

bench-memory: $(STAMP) ## everybody's memory over ten million requests (ARGS='--requests 1000000')
	@$(BIN)/python -m bench.memory $(ARGS)

# async-timeout: redis needs it on Python before 3.11.3 only, so a newer one would not list it.
lock: ## write constraints.txt anew from the newest versions that pyproject.toml allows
	@rm -rf build/lock && $(PYTHON) -m venv build/lock >&2
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]' async-timeout >&2
	@{ echo '# Exact versions of everything, development included. Written by: make lock'; \
	   build/lock/bin/python -m pip freeze --local | grep '=='; } >constraints.txt
	@rm -rf build/lock

clean: ## remove everything that can be made again
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
