# Every task of the project; `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SAM := .tools/sam/bin/sam
# The lock files are whole, so pip has nothing to resolve: --no-deps keeps it from trying.
PIP = -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps

.PHONY: help setup demo dev test test-dynamodb-local check coverage schema lock tools validate build deploy bench-setup bench clean

help: ## List these tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 21

# A virtual environment in the checkout; the check names a missing system package and how to get it.
$(VENV)/.made:
	@PYTHON="$(PYTHON)" sh local/check-python.sh
	@echo "Making a virtual environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.local: requirements/local.txt pyproject.toml | $(VENV)/.made
	@echo "Installing what runs on this machine …"
	@$(BIN)/python $(PIP) -r requirements/local.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.local
	@echo "Installing what tests and checks need …"
	@$(BIN)/python $(PIP) -r requirements/dev.txt
	@touch $@

.tools/sam/.made: requirements/sam.txt
	@PYTHON="$(PYTHON)" sh local/check-python.sh
	@echo "Installing AWS SAM in .tools/sam …"
	@rm -rf .tools/sam
	@$(PYTHON) -m venv .tools/sam
	@.tools/sam/bin/python $(PIP) -r requirements/sam.txt
	@touch $@

# AWS's own DynamoDB Local, from Maven Central; the check names a missing system package.
DYNAMODB_LOCAL := local/dynamodb_local/pom.xml $(wildcard local/dynamodb_local/java/rill/*.java)
.tools/dynamodb-local/.made: $(DYNAMODB_LOCAL)
	@sh local/check-java.sh
	@echo "Getting DynamoDB Local into .tools/dynamodb-local …"
	@rm -rf .tools/dynamodb-local
	@mvn --batch-mode --quiet -f local/dynamodb_local/pom.xml compile
	@touch $@

setup: $(VENV)/.dev ## Make the virtual environment with everything for development

demo: $(VENV)/.local ## Grade a sample call, section by section, in this terminal
	@$(BIN)/rill demo

dev: $(VENV)/.local $(if $(filter local,$(DYNAMODB)),.tools/dynamodb-local/.made) ## Run the whole stack on this machine (DYNAMODB=local: on DynamoDB Local)
	@$(BIN)/rill dev $(if $(PORT),--port $(PORT)) $(if $(DYNAMODB),--dynamodb $(DYNAMODB))

test: $(VENV)/.dev tools ## Run all tests
	@$(BIN)/python -m pytest -n 2

test-dynamodb-local: $(VENV)/.dev .tools/dynamodb-local/.made ## Tests of what is stored, on AWS's DynamoDB Local (needs Java)
	@RILL_TEST_DYNAMODB=local $(BIN)/python -m pytest -n 2 -m dynamodb

check: $(VENV)/.dev ## Lint, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

coverage: $(VENV)/.dev ## Branch coverage of the unit tests
	@$(BIN)/python -m pytest -n 2 tests/unit --cov --cov-report=term

schema: $(VENV)/.local ## Write the wire protocol's JSON Schema and the results API's OpenAPI document into docs/
	@$(BIN)/python -c 'import json; from rill.conformance import json_schema; print(json.dumps(json_schema(), indent=2))' \
	  > docs/protocol.schema.json
	@PYTHONPATH=functions $(BIN)/python -c 'import json; from results.api import document; print(json.dumps(document(), indent=2))' \
	  > docs/results.openapi.json

lock: $(VENV)/.dev ## Pin the requirements again, with hashes (needs uv)
	@cd requirements && for name in layer local dev sam; do \
	  uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-header -o $$name.txt $$name.in || exit 1; done

tools: .tools/sam/.made ## Install AWS SAM (its own environment: its pins differ)

validate: tools ## Check template.yaml with SAM and cfn-lint
	@SAM_CLI_TELEMETRY=0 $(SAM) validate

build: tools ## Build the layers into .aws-sam (RILL_TARGET_PYTHON names a Python 3.13)
	@SAM_CLI_TELEMETRY=0 $(SAM) build

deploy: validate build ## Deploy to AWS: `make deploy ENV=prod ARGS="--guided"` (ENV: a part of samconfig.toml)
	@SAM_CLI_TELEMETRY=0 $(SAM) deploy --config-env $(or $(ENV),default) $(ARGS)

bench-setup: $(VENV)/.dev ## Install what Rill is measured beside, one environment per peer
	@$(BIN)/python -m bench.setup

bench: $(VENV)/.dev ## Measure Rill beside its peers (QUICK=1: roughly, in two minutes; ONLY=part)
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

clean: ## Remove what the other tasks made
	@rm -rf $(VENV) .venv-3.13 .tools .rill .aws-sam .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
