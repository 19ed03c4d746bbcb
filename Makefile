# `make demo` and `make test` are all a newcomer needs; each sets up .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo
# Three tests run at a time, also on two cores, as many of them wait for a server or another process. The
# tests of one file share a process, and with it the model they train.
PARALLEL := --numprocesses=3 --dist=loadfile --max-worker-restart=1

.PHONY: demo test test-slow lint format clean

.venv: .venv/installed
	@touch -c .venv

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and f"Python 3.11 to 3.13 is needed, {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	@echo 'Installing the pinned packages into .venv: 3.9 GB, which takes a few minutes ...'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

test: .venv
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow'

test-slow: .venv
	$(BIN)/python -m pytest $(PARALLEL) -m slow -o faulthandler_timeout=3600

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile.serving serving/config/web.Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec serving/config/compose.yaml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/kubernetes-validate --strict --quiet serving/config/kubernetes.yaml serving/config/kubernetes-web.yaml tuning/config/kubernetes-job.yaml

format: .venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: .venv
	PATH="$(CURDIR)/$(BIN):$$PATH" ./demo.sh $(DEMO)

clean:
	rm -rf .venv
	if [ -e demo/made-by-demo.sh ]; then rm -rf demo; fi
