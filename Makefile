# make run [PORT=8501] [HEADLESS=1] · make test · make lint · make bench · make demo-pair · make record · make screenshots
PORT ?= 8501
HEADLESS ?=
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test lint format bench demo-pair record screenshots clean

run: $(VENV)/.run-ready
	@echo "Retrace is at http://127.0.0.1:$(PORT)"
	@$(BIN)/streamlit run app.py --server.port $(PORT) --server.headless $(if $(HEADLESS),true,false)

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Retrace needs Python 3.11, 3.12 or 3.13 with venv (Debian: apt install python3 python3-venv)."; exit 1; }
	@echo "Creating the environment in $(VENV) with $(PYTHON)…"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: requirements.txt | $(VENV)/bin/python
	@echo "Installing the pinned packages; the first time this takes some minutes…"
	@$(PIP) install -r requirements.txt
	@touch $@

$(VENV)/.dev-ready: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	@echo "Installing the pinned packages and the test tools…"
	@$(PIP) install -r requirements-dev.txt
	@touch $@ $(VENV)/.run-ready

test: $(VENV)/.dev-ready
	@sh tests/browser/install_browser.sh
	@$(BIN)/python -m pytest

lint: $(VENV)/.dev-ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev-ready
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev-ready
	@$(BIN)/python -m benchmarks

demo-pair: $(VENV)/.run-ready
	@$(BIN)/python -m demo.train

record: $(VENV)/.run-ready
	@$(BIN)/python -m demo.record

screenshots: $(VENV)/.dev-ready
	@sh tests/browser/install_browser.sh
	@$(BIN)/python -m tests.browser.screenshots

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
