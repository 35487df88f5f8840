# make run [PORT=8501] [HEADLESS=1] [BUNDLE=file.retrace] [SHARE=1] [PYTHON=python3] · make test · make lint · make bench · make demo-pair · make record · make attribution-report · make labeller-report [DATA=../shared/data/traces] · make models · make screenshots
PORT ?= 8501
HEADLESS ?=
BUNDLE ?= $(RETRACE_BUNDLE)
PYTHON ?=
SHARE ?=
DATA ?= ../shared/data/traces
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test lint format bench demo-pair record attribution-report labeller-report models screenshots clean

run: $(VENV)/.run-ready
	@$(if $(SHARE),:,echo "Retrace is at http://127.0.0.1:$(PORT)")
	@RETRACE_BUNDLE="$(BUNDLE)" $(BIN)/python -m retrace.serve $(if $(SHARE),--share )--server.port $(PORT) --server.headless $(if $(HEADLESS),true,false)

$(VENV)/bin/python:
	@PYTHON="$(PYTHON)" sh tools/create_env.sh $(VENV)

$(VENV)/.run-ready: requirements.txt | $(VENV)/bin/python
	@echo "Installing the pinned packages; the first time this takes some minutes…"
	@$(PIP) install -r requirements.txt
	@touch $@

$(VENV)/.dev-ready: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	@echo "Installing the pinned packages and the test tools…"
	@$(PIP) install -r requirements-dev.txt
	@touch $@ $(VENV)/.run-ready

test: $(VENV)/.dev-ready
	@sh tools/install_browser.sh
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=30

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
	@$(BIN)/python -m demo.write_plans
	@for plan in paper seed1 seed2 fig3; do \
		$(BIN)/python -m retrace run demo/plans/$$plan.json --cache demo/runs/recorded --out demo/recorded/$$plan > /dev/null || exit; \
	done
	@$(BIN)/python -m demo.write_directions
	@$(BIN)/python -m demo.write_look

attribution-report: $(VENV)/.run-ready
	@$(BIN)/python -m benchmarks.attribution_agreement

labeller-report: $(VENV)/.run-ready
	@$(BIN)/python -m benchmarks.labeller_report $(DATA)

models: $(VENV)/.dev-ready
	@$(BIN)/python -m tests.zoo

screenshots: $(VENV)/.dev-ready
	@sh tools/install_browser.sh
	@$(BIN)/python -m tests.browser.screenshots

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
