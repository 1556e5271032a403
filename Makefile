# The commands of this project, the same for people and for the continuous integration. `make help` explains them.

# The first of these that runs and is new enough; choose another one with `make PYTHON=python3.12 setup`.
PYTHON ?= $(shell for python in .venv/bin/python python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && exit; \
	done; echo python3)
# End-to-end tests wait as much as they work: one more than two cores.
JOBS ?= 3
COVERAGE ?= 85
ARGS ?=
UPGRADE ?=

BIN := .venv/bin
# One process runs all tests of a file, so that a stack which they share is started once; slow files come first.
WHOLE_FILES := --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-az test-unit conformance lint infra-check format dashboards bench bench-quota lock clean

help:  ## Show this help
	@echo "Usage: make TARGET [PARAMETER=value ...]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Parameters:"
	@echo "  PYTHON=...   the Python for .venv, 3.11 or newer (a change of version replaces .venv)"
	@echo "  JOBS=$(JOBS)       test processes"
	@echo "  COVERAGE=$(COVERAGE)  lowest branch coverage in percent that 'make test' accepts"
	@echo "  ARGS='...'   further options for demo, test, test-unit and the benches, such as ARGS='-k quota'"
	@echo "  UPGRADE=1    let 'make lock' take newer versions"

setup:  ## Prepare .venv and Azurite for running; does nothing when they are up to date
	@$(PYTHON) scripts/setup.py

setup-dev:  ## The same with what tests and checks need; they call it themselves
	@$(PYTHON) scripts/setup.py --dev

demo: setup  ## Run a sample experiment end to end on this machine
	$(BIN)/assay demo $(ARGS)

test: setup-dev conformance  ## Run every test, with branch coverage
	$(BIN)/python -m pytest -n $(JOBS) $(WHOLE_FILES) --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE) $(ARGS)

test-az: setup-dev  ## Run the tests that need the Azure CLI, which is installed into .venv-az (700 MB)
	@test -x .venv-az/bin/az || { $(BIN)/python -m venv .venv-az && .venv-az/bin/pip install --quiet azure-cli; }
	AZURE_CLI=$(CURDIR)/.venv-az/bin/az $(BIN)/python -m pytest tests/integration/deploying/test_real_azure_cli.py $(ARGS)

test-unit: setup-dev  ## Run the unit tests only: seconds, no child processes
	$(BIN)/python -m pytest -n $(JOBS) tests/unit $(ARGS)

conformance: setup-dev  ## Run the tests against Azure's worker library, if there is a Python 3.13
	@$(BIN)/python scripts/conformance.py -n 0

lint: setup-dev infra-check  ## Check code, types and locks, and all that infra-check does
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=function_app $(BIN)/mypy --allow-untyped-decorators --allow-any-generics -m function_app -p triggers
	MYPYPATH=scripts $(BIN)/mypy --strict scripts/*.py
	MYPYPATH=scripts $(BIN)/mypy --strict -p azure_deploy
	$(BIN)/python scripts/requirements.py check
	$(BIN)/python scripts/check_text.py

infra-check: setup-dev  ## Check infra/, Dockerfile and workflows without Azure
	@$(BIN)/python scripts/infra_check.py
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet --no-progress .github

format: setup-dev  ## Repair what can be repaired: imports, layout, line ends
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	-$(BIN)/python scripts/check_text.py --fix

dashboards:  ## Write the workbook and the Grafana dashboard anew from infra/queries
	$(PYTHON) scripts/workbook.py
	$(PYTHON) scripts/grafana.py

bench: setup-dev  ## Measure speed; the figures land where the benchmark says
	$(BIN)/python -m tests.bench $(ARGS)

bench-quota: setup-dev  ## Measure how well a quota is used, 45 minutes; ARGS='A1 --quota S', ARGS=--full
	$(BIN)/python -m tests.bench quota $(ARGS)

lock: setup-dev  ## Write the locked requirements anew from pyproject.toml
	$(BIN)/python scripts/requirements.py lock $(if $(UPGRADE),--upgrade)

clean:  ## Remove environments, caches and build results; runs kept in .assay stay
	rm -rf .venv .venv-3.13 .venv-az tools/*/node_modules build dist .coverage .coverage.*
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find config function_app infra scripts shared tests -type d -name __pycache__ -prune -exec rm -rf {} +
