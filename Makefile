# Two commands: `make demo` shows the service at work, `make test` checks everything. Both build .venv as needed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 2
FUZZ_SECONDS ?= 600
CHAOS ?=
DATA ?=
PIPELINE ?=
STRESS ?=
VENV := .venv
BIN := $(VENV)/bin
UV = UV_FIND_LINKS="$${PIP_FIND_LINKS:-}" $(BIN)/uv --no-progress pip
PINS := pyproject.toml constraints.txt

.PHONY: help demo serve setup setup-train setup-gpu test chaos chaos-matrix fuzz lint tools samples evidence cards export-all check-gpu check-image clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: $(VENV)/.stamp-service ## segment the bundled phantoms over HTTP, write masks and overlays to demo-out/
	@$(BIN)/python -m service.demo -o demo-out

serve: $(VENV)/.stamp-service ## start the service and its page on http://HOST:PORT (127.0.0.1:8000)
	@$(BIN)/breast-cascade serve --host $(HOST) --port $(PORT)

setup: $(VENV)/.stamp-service ## install the service into .venv (no torch)

setup-train: $(VENV)/.stamp-test ## add all that training and the tests need (torch, ultralytics, tools)

# Threads of torch that outnumber the cores wait for each other in busy loops.
test: $(VENV)/.stamp-test tools ## run every test with the coverage gate
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term

chaos-matrix: $(VENV)/.stamp-test tools ## kill workers, web process, Redis and disk at every point of a job's way (minutes)
	@$(BIN)/python -m pytest -m chaos tests/chaos

chaos: $(VENV)/.stamp-test tools ## 300 items while all around them is killed at random; CHAOS="--seed 7 --broker embedded"
	@$(BIN)/python -m tests.chaos.run $(CHAOS)

fuzz: $(VENV)/.stamp-test ## search for FUZZ_SECONDS (600) each with tampered files and invented requests
	@BREAST_CASCADE_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -q tests/hostile/test_fuzz.py

lint: $(VENV)/.stamp-test ## ruff, mypy, import contracts, no host name of a package registry
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@.ci/no-registry-hosts

export-all: $(VENV)/.stamp-test ## export every recipe's network at full size and check it against torch (long, some GiB)
	@$(BIN)/breast-cascade-train export-all

# Long: every picture of every test part goes through the service's engine. STRESS=--stress adds disturbed pictures.
evidence: $(VENV)/.stamp-test ## measure every shipped pipeline anew, write evidence/ and the cards; DATA=folder of data sets
	@[ -n "$(DATA)" ] || { echo "Name the folder of the data sets: make evidence DATA=DIR [PIPELINE=ultrasound]" >&2; exit 2; }
	@$(BIN)/breast-cascade-train evidence --data "$(DATA)" --pipelines service/pipelines -o evidence \
	  $(if $(PIPELINE),--pipeline $(PIPELINE)) $(STRESS)
	@$(MAKE) --no-print-directory cards

cards: $(VENV)/.stamp-test ## write manifests' figures and cards anew from evidence/
	@$(BIN)/breast-cascade-train card --pipelines service/pipelines --evidence evidence $(if $(PIPELINE),--pipeline $(PIPELINE))

samples: $(VENV)/.stamp-service ## draw the bundled phantoms anew into service/samples/
	@$(BIN)/python -m training.phantoms.samples -o service/samples

# Both runtimes share one folder, and where both are, the CPU one wins without a word. Hence first out, then in.
setup-gpu: $(VENV)/.stamp-service ## swap the CPU runtime for the GPU one (needs an NVIDIA driver)
	$(BIN)/python -m pip uninstall -y onnxruntime onnxruntime-gpu
	$(BIN)/python -m pip install -c constraints.txt -c docker/constraints-gpu.txt "onnxruntime-gpu[cuda,cudnn]"

check-gpu: $(VENV)/.stamp-service ## compare every pipeline's masks on the GPU with the CPU's (after setup-gpu; status 2: no GPU)
	@$(BIN)/python -m service.check_gpu

check-image: $(VENV)/.stamp-service ## build the CPU image without an engine and get a mask out of it (root, buildah, debootstrap)
	@docker/check-image

clean: ## remove .venv, demo-out and every cache (sources and trained weights stay)
	rm -rf $(VENV) demo-out build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache \
	  .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- setting up -----------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, $(PYTHON) is: $$($(PYTHON) --version 2>&1)." \
	            "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Could not create $(VENV). On Debian: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv \
	  || echo "uv could not be installed; pip will do its work, slower." >&2

$(VENV)/.stamp-service: $(PINS) | $(BIN)/python
	@echo "Installing the service into $(VENV) (no torch) ..."
	@$(UV) install --python $(BIN)/python -c constraints.txt -e . \
	  || { echo "uv did not manage; trying again with pip, which takes a few minutes." >&2; \
	       $(BIN)/python -m pip install -c constraints.txt -e .; }
	@touch $@

# pip, unlike uv, cannot leave out the opencv-python that ultralytics asks for. It overwrites the headless build and
# needs libGL, which a bare machine lacks: so it is taken out again and the headless build put back.
$(VENV)/.stamp-test: $(PINS) | $(BIN)/python
	@echo "Installing the service, training and test tools into $(VENV) (torch included) ..."
	@$(UV) install --python $(BIN)/python -c constraints.txt -e '.[train,yolo,dev]' \
	  || { echo "uv did not manage; trying again with pip, which takes a few minutes." >&2; \
	       $(BIN)/python -m pip install -c constraints.txt -e '.[train,yolo,dev]' && \
	       $(BIN)/python -m pip uninstall -y --quiet opencv-python && \
	       $(BIN)/python -m pip install --quiet --force-reinstall --no-deps -c constraints.txt opencv-python-headless; }
	@touch $@ $(VENV)/.stamp-service

# Chromium, Redis and PostgreSQL are Debian packages. Without them their tests skip, and say so; nothing else changes.
# Tests start servers of their own, with data of their own: whatever Debian starts beside them is left alone.
tools:
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing through apt:$$missing"; \
	  if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	  then exit 0; fi; \
	fi; \
	echo "NOT TESTED: the tests that need$$missing will be skipped." \
	     "As root: apt install$$missing" >&2
