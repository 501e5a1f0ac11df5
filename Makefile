# Every target is one line over `python -m dev`, so that a shell without make has the same commands.
PYTHON ?= python3
STACK ?= dev
BASE ?=

.PHONY: help up down destroy purge preview test soak lint lock

help: ## this list
	@$(PYTHON) -m dev --help

up: ## from nothing to a dev stack that is up: Python packages, engine, plugins, cluster, `pulumi up`
	@$(PYTHON) -m dev up --stack $(STACK)

down: ## stop the dev cluster, nothing else: the next `make up` has all its data
	@$(PYTHON) -m dev down --stack $(STACK)

destroy: ## `pulumi destroy` of the dev stack; the volumes are retained
	@$(PYTHON) -m dev destroy --stack $(STACK)

purge: ## delete the dev cluster and every volume in it, after showing what and asking
	@$(PYTHON) -m dev purge --stack $(STACK)

preview: ## `pulumi preview` of any stack with the policy pack, on a copy; with BASE=origin/main what a merge would change
	@$(PYTHON) -m dev preview --stack $(STACK) $(if $(BASE),--base $(BASE))

test: ## all checks and tests, in a throw-away cluster and state
	@$(PYTHON) -m dev test

soak: ## the fault and repeat tests with their full counts, half an hour on a busy machine
	@$(PYTHON) -m dev soak

lint: ## ruff, mypy, and actionlint and zizmor for the GitHub workflows
	@$(PYTHON) -m dev lint

lock: ## pin and hash the Python packages again after a change of requirements*.in
	@$(PYTHON) -m dev lock
