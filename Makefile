# Every target is one line over `python -m dev`, so that a shell without make has the same commands.
PYTHON ?= python3
STACK ?= dev
BASE ?=

.PHONY: help doctor up down destroy volumes prune drift accept purge preview rehearse test soak lint lock

help: ## this list
	@$(PYTHON) -m dev --help

doctor: ## what this machine has for a dev stack, and what mends what it lacks; changes nothing
	@$(PYTHON) -m dev doctor --stack $(STACK)

up: ## from nothing to a dev stack that is up: Python packages, engine, plugins, cluster, `pulumi up`; ADOPT=1 gives old volumes back; CLUSTER=kind or embedded, NODES=3
	@$(PYTHON) -m dev up --stack $(STACK) $(if $(filter-out 0 no false,$(ADOPT)),--adopt) $(if $(FROM),--from "$(FROM)") $(if $(filter command,$(origin CLUSTER)),--cluster "$(CLUSTER)") $(if $(KIND_IMAGE),--kind-image "$(KIND_IMAGE)") $(if $(KIND_CONFIG),--kind-config "$(KIND_CONFIG)") $(if $(filter command,$(origin NODES)),--nodes "$(NODES)")

down: ## stop the dev cluster, nothing else: the next `make up` has all its data
	@$(PYTHON) -m dev down --stack $(STACK)

destroy: ## `pulumi destroy` of the dev stack; the volumes are retained
	@$(PYTHON) -m dev destroy --stack $(STACK)

volumes: ## the stack's volumes: what they hold, where, and how old ones come back (`make up ADOPT=1`)
	@$(PYTHON) -m dev volumes --stack $(STACK)

prune: ## delete old volumes and their data: VOLUMES="<name> …" or OLDER_THAN=30d; without either, list them
	@$(PYTHON) -m dev prune --stack $(STACK) $(if $(OLDER_THAN),--older-than $(OLDER_THAN)) $(VOLUMES)

drift: ## what differs between the dev stack and its cluster; fails when something does
	@$(PYTHON) -m dev drift --stack $(STACK)

accept: ## a real PostgreSQL and Kafka on claims of their own, killed while they write: nothing that they acknowledged may be lost
	@$(PYTHON) -m dev accept --stack $(STACK)

purge: ## delete the dev cluster and every volume in it, after showing what and asking
	@$(PYTHON) -m dev purge --stack $(STACK)

preview: ## `pulumi preview` of any stack with the policy pack, on a copy; with BASE=origin/main what a merge would change
	@$(PYTHON) -m dev preview --stack $(STACK) $(if $(BASE),--base $(BASE))

rehearse: ## a real `pulumi up` of a cloud stack on a throw-away cluster: make rehearse STACK=aws
	@$(PYTHON) -m dev rehearse --stack $(STACK)

test: ## all checks and tests, in a throw-away cluster and state
	@$(PYTHON) -m dev test

soak: ## all of what `make test` runs a part of: faults, engines, moves, clouds, Kind (several hours)
	@$(PYTHON) -m dev soak

lint: ## ruff, mypy, import-linter, and actionlint and zizmor for the GitHub workflows
	@$(PYTHON) -m dev lint

lock: ## pin and hash the Python packages again after a change of requirements*.in
	@$(PYTHON) -m dev lock
