# The two commands of a newcomer are `make run` and `make test`; all a clone needs is Python 3.11+, make and git.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
WORKERS ?= 3
POSTGRES ?= postgres://postgres@127.0.0.1:5432/postgres
PATHS := config crm contacts pipelines tests bench manage.py
# Checks need settings that load, whatever the .env of a developer says.
NEUTRAL := DEBUG=1 SECRET_KEY=only-for-checks DATABASE_URL=sqlite://:memory:

.PHONY: help run test check fix chaos properties bench bench-docs lint types imports migrations test-sqlite test-postgres clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/run .env ## make the environment, load a demo, start web and worker
	@$(BIN)/python manage.py migrate --verbosity 0
	@BASE_URL=$${BASE_URL:-http://127.0.0.1:$(PORT)} $(BIN)/python manage.py demo --if-empty
	@exec $(BIN)/python manage.py dev --port $(PORT)

test: $(VENV)/dev test-sqlite ## the suite on SQLite

check: $(VENV)/dev lint types imports migrations test test-postgres ## everything CI runs

lint: $(VENV)/dev
	$(BIN)/ruff check $(PATHS)
	$(BIN)/ruff format --check $(PATHS)
	$(BIN)/djlint --lint --quiet config crm contacts pipelines

types: $(VENV)/dev
	$(NEUTRAL) $(BIN)/mypy $(PATHS)

imports: $(VENV)/dev
	$(BIN)/lint-imports

migrations: $(VENV)/dev
	$(NEUTRAL) $(BIN)/python manage.py makemigrations --check --dry-run

# Tests that share something dear, such as a browser or an installation, go to one worker. A quarter of the time tests
# wait for programs, so three workers keep two cores busy.
test-sqlite: $(VENV)/dev
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup

test-postgres: $(VENV)/dev
	@if $(BIN)/python -c "import psycopg, sys; psycopg.connect(sys.argv[1], connect_timeout=5)" $(POSTGRES) 2>/dev/null; \
	then DATABASE_URL=$(POSTGRES) $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup; \
	else echo "PostgreSQL does not answer at $(POSTGRES): its half of the suite was not run."; fi

fix: $(VENV)/dev ## format, and mend what can be mended
	$(BIN)/ruff check --fix $(PATHS)
	$(BIN)/ruff format $(PATHS)

properties: $(VENV)/dev ## an hour or more: what holds for any pipeline, tried on thousands of random ones
	EXAMPLES=thorough $(BIN)/python -m pytest -q -n 2 tests/pipelines/definition tests/pipelines/operations \
		tests/pipelines/simulation/test_graphs_in_motion.py \
		tests/pipelines/simulation/test_simulation_is_execution.py \
		tests/pipelines/simulation/test_calendar_is_execution.py tests/pipelines/engine/test_company.py \
		tests/faults/test_random_documents.py

# The suite's faults on both databases, then the storms on servers of their own; some need root, for mounts and networks.
chaos: $(VENV)/dev ## minutes of trouble: workers killed, databases stopped, networks cut
	@rm -f var/faults.jsonl
	EXAMPLES=walk $(BIN)/python -m pytest -q -n 2 tests/faults
	@if $(BIN)/python -c "import psycopg, sys; psycopg.connect(sys.argv[1], connect_timeout=5)" $(POSTGRES) 2>/dev/null; \
	then EXAMPLES=walk DATABASE_URL=$(POSTGRES) $(BIN)/python -m pytest -q -n 2 tests/faults; fi
	$(BIN)/python -m pytest -q -s -m chaos -p no:randomly tests/chaos
	@$(BIN)/python -m tests.faults.report

bench: $(VENV)/dev ## speeds beside their floors and beside other products
	$(BIN)/python -m bench
	$(BIN)/python -m bench.peers

bench-docs: $(VENV)/dev ## the same, and its tables in docs/performance.md
	$(BIN)/python -m bench --write docs/performance.md
	$(BIN)/python -m bench.peers --write docs/performance.md
	$(BIN)/python -m bench.targets docs/performance.md

clean: ## forget the environment and everything captured
	rm -rf $(VENV) bench/.peers var staticfiles

# A laptop's settings: errors are shown, mail is captured, the secret is this clone's own.
.env: | $(VENV)/bin/python
	@$(BIN)/python -c "import secrets; print('DEBUG=1'); print('SECRET_KEY=' + secrets.token_urlsafe(50))" > $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev: requirements-dev.txt requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/run
