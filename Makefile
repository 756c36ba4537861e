SHELL := bash
PY := .venv/bin/python

.PHONY: setup protos

setup: .venv/.ready

.venv/.ready: pyproject.toml requirements.lock
	@echo "setup: making .venv with the exact versions of requirements.lock"
	python3 -m venv .venv
	touch $@

protos:
	$(PY) -m grpc_tools.protoc -I protos --python_out=services --pyi_out=services --grpc_python_out=services protos/tiersplit_wire/v1/*.proto
