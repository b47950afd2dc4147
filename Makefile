# Every target says what it does after `##`; `make` alone lists them.
# PYTHON names the interpreter that the environments are made with; it must be 3.11 or newer.

PYTHON ?= python3
VENV := .venv
VENV_DBT_1_12 := .venv-dbt-1.12
DBT_V2 := .dbt-v2
EXTRAS := duckdb,postgres,s3,gcs,dev
EXAMPLE := examples/jaffle-shop
# Of kinds that Kubernetes itself knows; a test looks at the others.
KUBERNETES := $(addprefix deploy/kubernetes/,configmap.yaml deployment.yaml secret.example.yaml)

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
PHONY_EXAMPLES := services postgres postgres-start postgres-stop ui run run-multi run-env run-git submit submit-analytics \
  submit-marketing submit-env submit-git
.PHONY: $(PHONY_EXAMPLES) help setup setup-dbt-1.12 setup-dbt-v2 test-dbt-v2 demo dev worker test test-unit test-integration test-dbt-1.12 \
  setup-consumers setup-datahub test-datahub test-conformance conformance lint fmt bench bench-views differential packages pictures schemas coming-from-dbt package clean distclean

help: ## List the targets
	@echo "Targets (make TARGET):"
	@awk -F ':.*## ' '/^[a-z][a-zA-Z0-9_.-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.installed ## Make .venv with all that running, testing and benchmarking need (dbt-core 1.11)

setup-dbt-1.12: $(VENV_DBT_1_12)/.installed ## Make .venv-dbt-1.12, the same with dbt-core 1.12

# The stamps carry the environments: nothing is done until pyproject.toml or a pin changes.
$(VENV)/.installed: pyproject.toml constraints/dbt-1.11.txt
	$(call install,$(VENV),constraints/dbt-1.11.txt)

$(VENV_DBT_1_12)/.installed: pyproject.toml constraints/dbt-1.12.txt
	$(call install,$(VENV_DBT_1_12),constraints/dbt-1.12.txt)

# It resolves in half the time of the one that Python 3.11 brings along.
PIP := pip==26.3

# $(call install,ENVIRONMENT,CONSTRAINTS)
# Bytecode is compiled here once: importing dbt takes 2 s with it and 5 to 7 s without, in every engine process.
# compileall says 1 where a package ships a file that is no Python of this version; such files are never imported.
define install
	@command -v "$(PYTHON)" >/dev/null 2>&1 || \
	  { echo "make: no interpreter '$(PYTHON)'. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); dbt-temporal needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(1)/bin/python" -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear "$(1)"
	@echo "Installing into $(1) with the pins of $(2)"
	@"$(1)/bin/python" -m pip install --quiet --no-compile "$(PIP)"
	@"$(1)/bin/python" -m pip install --quiet --no-compile --constraint "$(2)" --editable ".[$(EXTRAS)]"
	@"$(1)/bin/python" -m compileall -qq -j 0 "$(1)/lib" || true
	@touch "$@"
	@echo "$(1) is ready: $$("$(1)/bin/python" --version), $$("$(1)/bin/python" -c 'from importlib.metadata import version as v; print("dbt-core", v("dbt-core") + ", temporalio", v("temporalio"))')"
endef

setup-dbt-v2: $(DBT_V2)/.installed ## Make .dbt-v2: dbt v2 and its drivers for DuckDB and PostgreSQL (Linux on x86_64; needs npm)

# The program looks for PostgreSQL's driver under this name alone, and for DuckDB's library by its name.
V2_POSTGRES := com.getdbt/adbc/x86_64-manylinux_2_17-linux-gnu/libadbc_driver_postgresql-0.21.0+dbt0.21.0.so
V2_DUCKDB := @duckdb/node-bindings-linux-x64@1.5.6-r.1

$(DBT_V2)/.installed: constraints/engine-v2.txt
	@command -v npm >/dev/null 2>&1 || { echo "make: npm brings DuckDB's library, and there is none" >&2; exit 1; }
	@rm -rf "$(DBT_V2)" && mkdir -p "$(DBT_V2)/lib" "$(DBT_V2)/cache/$(dir $(V2_POSTGRES))"
	@echo "Installing into $(DBT_V2) with the pins of constraints/engine-v2.txt"
	@"$(PYTHON)" -m venv "$(DBT_V2)/venv"
	@"$(DBT_V2)/venv/bin/python" -m pip install --quiet --no-compile --requirement constraints/engine-v2.txt
	@ln -s venv/bin/dbt "$(DBT_V2)/dbt"
	@cp "$(DBT_V2)"/venv/lib/python3.*/site-packages/adbc_driver_postgresql/libadbc_driver_postgresql.so "$(DBT_V2)/cache/$(V2_POSTGRES)"
	@cd "$(DBT_V2)" && npm pack --silent "$(V2_DUCKDB)" >/dev/null && tar -xzf duckdb-node-bindings-*.tgz package/libduckdb.so \
	  && mv package/libduckdb.so lib/ && rm -r package duckdb-node-bindings-*.tgz
	@touch "$@"
	@echo "$(DBT_V2) is ready: $$("$(DBT_V2)/dbt" --version)"

setup-consumers: .venv-consumers/.installed ## Make .venv-consumers: tools that read a run's artifacts, for their tests

setup-datahub: .venv-datahub/.installed ## Make .venv-datahub: DataHub's source of dbt, for its test (large, and not part of CI)

# All that they need is pinned, so that nothing is resolved: they never share an environment with the project.
.venv-%/.installed: constraints/%.txt
	@"$(PYTHON)" -m venv --clear ".venv-$*"
	@echo "Installing into .venv-$* with the pins of $<"
	@".venv-$*/bin/python" -m pip install --quiet --no-compile --no-deps --requirement "$<"
	@touch "$@"

# ENGINE=v2 runs the example on dbt v2, with a database of its own: its DuckDB may be older than the one that has made the other.
ENGINE ?= dbt-core
IN_DBT_V2 := LD_LIBRARY_PATH="$(CURDIR)/$(DBT_V2)/lib" XDG_CACHE_HOME="$(CURDIR)/$(DBT_V2)/cache" DBT_TEMPORAL_ENGINE=v2 \
  DBT_TEMPORAL_V2_BINARY="$(CURDIR)/$(DBT_V2)/dbt" JAFFLE_SHOP_DB="$${JAFFLE_SHOP_DB:-$(CURDIR)/$(DBT_V2)/jaffle_shop.duckdb}"

demo: setup $(if $(filter v2,$(ENGINE)),setup-dbt-v2) ## Run the example on a Temporal server of its own, with live progress (ENGINE=v2: on dbt v2)
	$(if $(filter v2,$(ENGINE)),$(IN_DBT_V2)) $(VENV)/bin/dbt-temporal dev --project-dir $(EXAMPLE) --run build
	@echo "To look around in the UI: make dev, and in another terminal $(VENV)/bin/dbt-temporal build"

dev: setup ## Start a Temporal server with its UI and a worker for the example, until Ctrl-C
	$(VENV)/bin/dbt-temporal dev --project-dir $(EXAMPLE)

worker: setup ## Start a worker (DBT_PROJECT_DIRS, or the example) for the server at TEMPORAL_ADDRESS
	DBT_PROJECT_DIRS="$${DBT_PROJECT_DIRS:-$(EXAMPLE)}" $(VENV)/bin/dbt-temporal worker

# The examples on PostgreSQL, each in a namespace of its own. `make services` first, then a worker and a run in other terminals.
TEMPORAL_PORT ?= 7233
UI_PORT ?= 8233
EXAMPLES_PG_PORT ?= 5433
NAMESPACES := single-project multi-project env-override git-project
GIT_EXAMPLE := /tmp/dbt-temporal-git-project
# docs/operations.md: reads of a shard's queue, in a second
QUEUE_READS := history.transferProcessorMaxPollRPS=1000
SEARCH_ATTRIBUTES := DbtProject DbtCommand DbtTarget DbtSelector DbtStatus
export EXAMPLES_PG_PORT

# $(call in_namespace,NAMESPACE): our command, at the examples' server
in_namespace = TEMPORAL_ADDRESS=localhost:$(TEMPORAL_PORT) TEMPORAL_NAMESPACE=$(1) $(VENV)/bin/dbt-temporal

services: setup ## Start PostgreSQL with the examples' data and a Temporal server with its UI, until Ctrl-C; what runs is left alone
	@echo "Temporal's UI: http://localhost:$(UI_PORT)"
	@trap : INT TERM; $(VENV)/bin/python -m examples.services $(TEMPORAL_PORT) \
	  $(VENV)/bin/temporal server start-dev --ip 127.0.0.1 --port $(TEMPORAL_PORT) --ui-port $(UI_PORT) --log-level error \
	    --dynamic-config-value $(QUEUE_READS) $(addprefix --namespace ,$(NAMESPACES)) $(patsubst %,--search-attribute %=Keyword,$(SEARCH_ATTRIBUTES))

postgres: setup ## Start the examples' PostgreSQL alone, until Ctrl-C (port 5433, or EXAMPLES_PG_PORT)
	$(VENV)/bin/python -m examples.postgres

postgres-start: setup ## Start it in the background
	$(VENV)/bin/python -m examples.postgres start

postgres-stop: setup ## Stop it
	$(VENV)/bin/python -m examples.postgres stop

ui: ## Open Temporal's UI
	$(VENV)/bin/python -m webbrowser http://localhost:$(UI_PORT)

run: setup ## Start a worker for examples/single-project
	DBT_PROJECT_DIR=examples/single-project $(call in_namespace,single-project) worker

run-multi: setup ## Start a worker for examples/multi-project
	DBT_PROJECTS_DIR=examples/multi-project $(call in_namespace,multi-project) worker

run-env: setup ## Start a worker for examples/env-override
	DBT_PROJECT_DIR=examples/env-override $(call in_namespace,env-override) worker

run-git: setup ## Start a worker for examples/git-project: a project out of a git repository
	DBT_PROJECT_DIRS="$$(examples/git-project/make_repository.sh $(GIT_EXAMPLE))" $(call in_namespace,git-project) worker

submit: setup ## Build single-project
	$(call in_namespace,single-project) build

submit-analytics: setup ## Run the project analytics of multi-project
	$(call in_namespace,multi-project) run --project analytics

submit-marketing: setup ## Build the project marketing of multi-project
	$(call in_namespace,multi-project) build --project marketing

submit-env: setup ## Run env-override for two cities, each with an environment of its own
	$(call in_namespace,env-override) run --env CITY=Ghent --env DB_SCHEMA=ghent
	$(call in_namespace,env-override) run --env CITY=Lille --env DB_SCHEMA=lille --env FEE_SHARE=0.08 --env REPORT_AREA=rapports

submit-git: setup ## Build git-project
	$(call in_namespace,git-project) build

test: setup setup-dbt-1.12 test-unit test-integration test-dbt-1.12 test-conformance ## Run all tests

# How many processes share the tests out. A file stays together, as its tests share what they start. Files come in the
# order of their names: the long ones are not the last, for which the other processes would wait.
TEST_PROCESSES ?= auto
PYTEST := -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-unit: setup ## Run the unit tests
	$(VENV)/bin/python $(PYTEST) tests/unit

test-integration: setup setup-dbt-1.12 setup-consumers $(if $(filter Linux-x86_64,$(shell uname -sm | tr " " "-")),setup-dbt-v2) ## Run the integration tests (real Temporal server, dbt, DuckDB and PostgreSQL)
	$(VENV)/bin/python $(PYTEST) tests/integration tests/faults -m 'not on_request'

test-benchmarks: setup setup-dbt-v2 ## Run the tests of all benchmarks, of which `make test` runs a few
	$(VENV)/bin/python $(PYTEST) tests/integration/benchmarks

# What runs again on the other dbt version: one test of so many, always the same ones. All of them: DBT_1_12_SHARE=1.
DBT_1_12_SHARE ?= 5

test-dbt-1.12: setup-dbt-1.12 ## Compare with the dbt CLI again, on dbt-core 1.12: a share of the tests
	$(VENV_DBT_1_12)/bin/python $(PYTEST) tests/integration -m every_dbt_version --share $(DBT_1_12_SHARE)

test-dbt-v2: setup setup-dbt-v2 ## Run the integration tests of the engine on dbt v2
	$(VENV)/bin/python $(PYTEST) tests/integration/v2

test-datahub: setup setup-consumers setup-datahub ## Run the tests of tools that read artifacts, with DataHub
	$(VENV)/bin/python -m pytest tests/integration/consumers

# dbt's own scenarios. Both runs of one stay in one process, which compares them.
CONFORMANCE := -m pytest tests/conformance -n $(TEST_PROCESSES) --dist loadgroup -W ignore --show-capture=no
CONFORMANCE_VERDICTS := build/conformance
# What runs with the tests: one scenario of so many, always the same ones.
CONFORMANCE_SHARE ?= --database duckdb --share 18

test-conformance: setup ## Compare a share of dbt's own scenarios with the dbt CLI
	$(VENV)/bin/python $(CONFORMANCE) $(CONFORMANCE_SHARE)

# A difference without a reason fails the tests, but not before the page has it.
conformance: setup setup-dbt-1.12 ## Run all of dbt's own scenarios on dbt-core 1.11 and 1.12, and write docs/conformance.md
	rm -rf $(CONFORMANCE_VERDICTS) && mkdir -p $(CONFORMANCE_VERDICTS)
	-$(VENV)/bin/python $(CONFORMANCE) --verdicts $(CONFORMANCE_VERDICTS)/dbt-1.11.jsonl
	-$(VENV_DBT_1_12)/bin/python $(CONFORMANCE) --verdicts $(CONFORMANCE_VERDICTS)/dbt-1.12.jsonl
	$(VENV)/bin/python -m tests.conformance.report docs/conformance.md $(CONFORMANCE_VERDICTS)/*.jsonl

lint: setup ## Check style, formatting, types, import directions and the files for deployment
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/yamllint --strict .yamllint.yaml docker deploy
	$(VENV)/bin/hadolint docker/Dockerfile
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yml
	$(VENV)/bin/kubernetes-validate --strict --quiet $(KUBERNETES)

fmt: setup ## Format, and fix what ruff can fix
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# SEED: the same faults again. MORE: `--go-on`.
MINUTES ?= 30

soak: setup ## Do runs for MINUTES while processes die at random, and look at what they leave (see docs/reliability.md)
	$(VENV)/bin/python -m tests.faults --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(MORE)

# What was measured lies in build/benchmarks. MORE: names of figures, `--small`.
bench: setup $(if $(filter Linux-x86_64,$(shell uname -sm | tr " " "-")),setup-dbt-v2) ## Measure all figures beside the dbt CLI (two hours), and write docs/benchmarks.md (see benchmarks/README.md)
	$(VENV)/bin/python -m benchmarks all --page docs/benchmarks.md $(MORE)

# MORE: `--nodes N`, `--databases duckdb`, `--threads N`, `--hosts N`, `--runs N`, `--results FOLDER`.
bench-views: setup ## Compare runs of 1000 small views with the dbt CLI, part by part (see benchmarks/README.md)
	$(VENV)/bin/python -m benchmarks views $(MORE)

# How many projects, the number of the first one, and on which database: duckdb, postgres or both. MORE: `--shrink`, `--one-worker`,
# `--file FILE`; DIFFERENTIAL_VENV=.venv-dbt-1.12 takes the other version of dbt (docs/differential.md).
N ?= 20
FIRST ?= 0
DATABASE ?= both
DIFFERENTIAL_VENV ?= $(VENV)

differential: setup setup-dbt-1.12 ## Run N random projects by the dbt CLI and by workers, and compare (see docs/differential.md)
	$(DIFFERENTIAL_VENV)/bin/python -m tests.differential -n $(N) --first $(FIRST) --database $(DATABASE) $(MORE)

# MORE: `--package NAME`, `--database duckdb`, `--clones FOLDER` where the repositories are at owner/name (docs/packages.md).
packages: setup ## Run published packages by the dbt CLI and by workers, compare, and write the table of docs/packages.md
	$(VENV)/bin/python -m tests.packages --page docs/packages.md $(MORE)

# A browser of Playwright's own is fetched where BROWSER names none.
PICTURES_VENV := .venv-pictures
export BROWSER
pictures: setup ## Make the pictures of docs/pictures, of the example's run: terminal, timeline, report (BROWSER=/path/to/chromium)
	@$(PICTURES_VENV)/bin/python -c "import playwright, pyte" 2>/dev/null || { "$(PYTHON)" -m venv $(PICTURES_VENV) && \
	  $(PICTURES_VENV)/bin/python -m pip install --quiet playwright==1.65.2 pyte==0.8.2; }
	@test -n "$(BROWSER)" || $(PICTURES_VENV)/bin/playwright install chromium
	@$(PICTURES_VENV)/bin/python docs/pictures/make.py $(VENV)/bin/dbt-temporal $(EXAMPLE)

schemas: setup ## Write the JSON Schemas of docs/schemas, and the TypeScript types of examples/client
	$(VENV)/bin/python docs/schemas/make.py

coming-from-dbt: setup ## Write the tables of docs/coming-from-dbt.md: dbt's commands and flags, and ours
	$(VENV)/bin/python docs/coming-from-dbt/make.py

package: setup ## Build the source distribution, the wheel and the client's wheel into dist/
	$(VENV)/bin/python -m build
	$(VENV)/bin/python -m build --wheel --outdir dist client

clean: ## Remove caches and build results
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the environments too
	rm -rf $(VENV) $(VENV_DBT_1_12) .venv-consumers .venv-datahub
