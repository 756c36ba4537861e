SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PYTHON ?= python3
PROTOS := $(wildcard protos/tiersplit_wire/v1/*.proto)
# Two worker processes at most: the tests start processes of their own.
WORKERS ?= 2
ONLY ?=
MODEL_TESTS := tests/e2e/test_zoo_import.py
CLUSTER_TESTS ?= tests/e2e/cluster tests/e2e/product
LOCK = UV_SYSTEM_CERTS=1 $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --no-annotate --no-emit-index-url --no-emit-find-links

.PHONY: help setup demo test test-unit test-models test-processes test-cluster lint format type bench protos crds manifests lock pin-names clean
.PHONY: cluster-up cluster-images cluster-install cluster-status cluster-down cluster-kubeconfig

help:  ## Say what there is to make.
	@echo "tiersplit: make TARGET, where TARGET is one of"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1|/' | awk -F'|' '{printf "  %-16s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## Make .venv with the exact versions of requirements.lock.

$(VENV)/.ready: requirements.lock pyproject.toml .ci/setup
	@PYTHON="$(PYTHON)" .ci/setup $(VENV)

demo: setup  ## Train, import, measure, plan, serve and move a real model over three tiers (under 4 minutes).
	@$(PY) -m examples.digits.demo

test: setup test-unit test-models test-processes test-cluster  ## Every test: unit and contract, models, processes, a real cluster.

test-unit: setup  ## Unit and contract tests.
	@echo "test: unit and contract tests, $(WORKERS) at a time"
	$(PY) -m pytest -q -n $(WORKERS) --dist loadfile tests/unit tests/contract

test-models: setup  ## Imports of published networks, each cut and compared with itself.
	@echo "test: published networks, $(WORKERS) at a time"
	$(PY) -m pytest -q -n $(WORKERS) --dist worksteal $(MODEL_TESTS)

test-processes: setup  ## Integration and end-to-end tests on this machine.
	@echo "test: integration and end-to-end tests, which start real processes, $(WORKERS) files at a time"
	$(PY) -m pytest -q -n $(WORKERS) --dist loadfile tests/integration tests/e2e --ignore=tests/e2e/cluster --ignore=tests/e2e/product \
	  $(addprefix --ignore=,$(MODEL_TESTS))

test-cluster: setup  ## End-to-end tests on a real Kubernetes cluster (brings one up here where it can; needs root).
	@echo "test: end-to-end tests on a real cluster, which is brought up first and ended afterwards"
	$(PY) -m pytest -q --timeout=1800 $(CLUSTER_TESTS)

cluster-up: setup  ## Bring up a four-node Kubernetes cluster here (needs root; the first time it builds for a while).
	@$(PY) -m tests.cluster up

cluster-images: setup  ## Build the project's images and push them to the cluster's registry.
	@$(PY) -m tests.cluster.images

cluster-install: setup  ## Install the chart into the cluster.
	@$(PY) -m tests.cluster.install

cluster-status: setup  ## What of the cluster runs.
	@$(PY) -m tests.cluster status

cluster-down: setup  ## End the cluster and leave nothing of it running.
	@$(PY) -m tests.cluster down

cluster-kubeconfig:  ## Print the path of the cluster's kubeconfig.
	@$(PY) -m tests.cluster kubeconfig

lint: setup  ## ruff, import contracts, dead code.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/vulture

format: setup  ## Let ruff format and fix what it can.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: setup  ## mypy, strict.
	$(BIN)/mypy

bench: setup  ## Run the benchmarks and write benchmarks/RESULTS.md (ONLY=name for one of them).
	$(PY) benchmarks/run.py $(if $(ONLY),--only $(ONLY))

protos: setup  ## Generate services/tiersplit_wire/v1 from protos/.
	$(PY) -m grpc_tools.protoc -I protos --python_out=services --pyi_out=services --grpc_python_out=services $(PROTOS)

crds: setup  ## Generate crds/ from operator/tiersplit_api, and the chart's copy.
	$(PY) -m tiersplit_api.crd > crds/tiersplit.dev_splitdeployments.yaml.new
	mv crds/tiersplit.dev_splitdeployments.yaml.new crds/tiersplit.dev_splitdeployments.yaml
	cp crds/tiersplit.dev_splitdeployments.yaml helm/tiersplit/files/

manifests: crds  ## Render deploy/kustomize from the chart.
	$(PY) -m tests.cluster.manifests

lock: setup  ## Resolve pyproject.toml into the lock files again: that of development, then those of the images.
	$(LOCK) --extra dev -o requirements.lock pyproject.toml
	$(LOCK) -c requirements.lock --extra stage --no-emit-package scipy -o services/tiersplit_stage/requirements.lock pyproject.toml
	$(LOCK) -c requirements.lock --extra operator -o operator/tiersplit_operator/requirements.lock pyproject.toml
	$(LOCK) -c requirements.lock --extra onnx -o services/tiersplit_import/requirements.lock pyproject.toml
	$(LOCK) -c requirements.lock --extra import -o services/tiersplit_import/requirements-torch.lock pyproject.toml

pin-names: setup  ## Write the public names of every package to tests/contract/public_names.txt.
	$(PY) tests/contract/public_names.py > tests/contract/public_names.txt.new
	mv tests/contract/public_names.txt.new tests/contract/public_names.txt

clean:  ## Remove .venv, caches and what runs left behind.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .tiersplit build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
