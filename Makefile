# One line a target: `make` lists them. Everything is installed into .venv from requirements.lock, versions and hashes pinned.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two at a time, each file of tests by one: on two cores a third makes it no more than a twelfth faster.
TESTS_AT_ONCE ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo demo-cluster test quick check cluster cluster-down bench pictures images lock generate clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

install: $(STAMP)  ## make .venv and install the locked dependencies and the project into it

$(STAMP): requirements.lock pyproject.toml scripts/install
	scripts/install $(PYTHON) $(VENV)
	@touch $@

demo: $(STAMP)  ## train across three hospitals on data that needs no download; prints the table and the report's place
	$(BIN)/consilia run examples/breast-cancer.yaml

test: check  ## everything CI runs: check, then all tests
	@scripts/install-prometheus $(VENV)
	@test -n "$$CONSILIA_KUBECONFIG" || $(BIN)/python -m tests.cluster build || echo "The tests that need a cluster are skipped."
	@$(BIN)/python -m scripts.images > /dev/null || echo "The tests that need images are skipped."
	$(BIN)/pytest --numprocesses $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder

quick: $(STAMP)  ## the tests that take seconds
	@scripts/install-prometheus $(VENV)
	$(BIN)/pytest --numprocesses $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder -m "not slow"

check: $(STAMP)  ## ruff, mypy, import layers, sizes of functions and files, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/sizes.py
	$(BIN)/python scripts/generate.py --check

demo-cluster: $(STAMP)  ## the same on Kubernetes: a cluster of this machine's own (root, Linux), images, helm, kubectl apply, a model
	scripts/demo-cluster $(VENV)

cluster: $(STAMP)  ## start a Kubernetes on this machine (root, Linux) and leave it running; prints how to use it
	$(BIN)/python -m tests.cluster up

cluster-down: $(STAMP)  ## end it
	$(BIN)/python -m tests.cluster down

generate: $(STAMP)  ## rewrite crds/ and docs/reference/ from the types
	$(BIN)/python scripts/generate.py

bench: $(STAMP)  ## run the benchmarks and rewrite the tables in docs/benchmarks.md
	$(BIN)/python -m benchmarks

# BASE and ACCELERATOR choose what production wants: docs/guides/images.md.
images: $(STAMP)  ## build the images of operator, worker and Kafka; prints their tags and archives
	$(BIN)/python -m scripts.images --base "$(BASE)" --accelerator $(or $(ACCELERATOR),stubs) --torch-wheel "$(TORCH_WHEEL)"

pictures: $(STAMP)  ## draw docs/images/dashboard-*.png anew: a federation on the heart disease data, scraped by Prometheus
	@scripts/install-prometheus $(VENV)
	PYTHONPATH=.:tests/support $(BIN)/python -m monitored docs/images

lock: $(STAMP)  ## resolve requirements.lock and requirements-uv.lock anew
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --python-version 3.11 -o requirements.lock
	grep -A 40 '^uv==' requirements.lock | awk 'NR == 1 || /^ /{print} NR > 1 && /^[a-z]/{exit}' | sed '$$ s/ \\$$//' > requirements-uv.lock

clean:  ## remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
