# `make` alone lists what there is to make.

PYTHON ?= python3
PORT ?= 5000
ROUNDS ?= 20
FLASK_CONFIG ?= development
export FLASK_CONFIG PORT

BIN := .venv/bin
INSTALLED := .venv/installed
COMPILED := $(patsubst %.po,%.mo,$(wildcard app/translations/*/LC_MESSAGES/messages.po))
LOCK := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --exclude-newer "7 days" \
	--generate-hashes --no-header --no-annotate --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: help install run test attack chaos bench-mail bench-timing translate asvs check clean lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) $(COMPILED) ## Create .venv with everything in it (run, test and check do so by themselves)

$(INSTALLED): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Rekey needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "This Python has no venv; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into .venv ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch $@

# By no setting of this machine: translations need none.
%.mo: %.po | $(INSTALLED)
	@FLASK_CONFIG=testing $(BIN)/flask translate compile

run: install ## Serve on http://127.0.0.1:5000 with a mailbox for every mail (another port: make run PORT=8000)
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null \
		|| { echo "Port $(PORT) is in use; take another: make run PORT=8000"; exit 1; }
	@$(BIN)/flask db upgrade
	@$(BIN)/gunicorn --bind 127.0.0.1:$(PORT) --reload --log-level warning wsgi:app

test: install ## Run the tests, on SQLite and PostgreSQL, on all cores
	@$(BIN)/pytest --numprocesses auto --dist worksteal

attack: install ## Replay the attack catalogue here, or at a running site: make attack BASE_URL=https://…
	@ATTACK_URL="$(BASE_URL)" $(BIN)/pytest tests/attacks

chaos: install ## Kill, stop and break everything at random: make chaos ROUNDS=200
	@$(BIN)/python -m tests.chaos --database sqlite --rounds $(ROUNDS)
	@$(BIN)/python -m tests.chaos --database postgresql --rounds $(ROUNDS)

bench-mail: install ## Measure how fast promised mail leaves, beside bare smtplib
	@$(BIN)/python -W ignore -m benchmarks.mail

bench-timing: install ## Measure whether the time of an answer tells who has an account
	@$(BIN)/python -W ignore -m benchmarks.timing

translate: install ## Collect the messages of the source into app/translations/*/LC_MESSAGES/messages.po
	@FLASK_CONFIG=testing $(BIN)/flask translate extract
	@FLASK_CONFIG=testing $(BIN)/flask translate update

asvs: install ## Write docs/asvs.md anew, after changing docs/asvs.toml or a mark on a test
	@$(BIN)/python -m scripts.asvs

check: install ## Check style, types, unsafe calls and known vulnerabilities
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/bandit --quiet --recursive app config.py config_checks.py log_lines.py wsgi.py gunicorn.conf.py
	@$(BIN)/python -m scripts.audit

lock: ## Write the locked requirements anew (needs uv)
	@$(LOCK) --output-file requirements.txt
	@$(LOCK) --output-file requirements-dev.txt --group dev --constraint requirements.txt

clean: ## Remove what was installed and built; the database in instance/ stays
	@rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
