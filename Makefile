# Every target is one line over `python -m dev`, so that a shell without make has the same commands.
PYTHON ?= python3
STACK ?= dev

.PHONY: help up down destroy purge test soak lint lock

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

test: ## all checks and tests, in a throw-away cluster and state
	@$(PYTHON) -m dev test

soak: ## the fault and repeat tests with their full counts, about an hour
	@$(PYTHON) -m dev soak

lint: ## ruff and mypy only
	@$(PYTHON) -m dev lint

lock: ## pin and hash the Python packages again after a change of requirements*.in
	@$(PYTHON) -m dev lock
