# psr suite. `make demo` sets everything up, runs the demo; `make test` sets everything up, runs every check.
SHELL := bash
PYTHON ?=
BIN := .venv/bin
# Processes that share the tests without ROS nodes.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo test lint format pytest clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: ## Install everything into .venv (a second run takes a second)
	@PYTHON="$(PYTHON)" $(or $(PYTHON),python3) tools/set_up.py

setup-test: # ... and what only the tests use
	@PYTHON="$(PYTHON)" $(or $(PYTHON),python3) tools/set_up.py --test

demo: setup ## Show the suite at work: simulator, policy, steering, report
	@$(BIN)/psr demo

test: setup-test ## Every check: style, types, floors, tests
	@$(MAKE) --no-print-directory lint pytest

lint: ## Style, types and floors only (after a set-up)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pytest: ## The tests only (after a set-up); those that start ROS nodes one at a time
	@status=0; \
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not ros" || status=1; \
	$(BIN)/pytest -m ros || status=1; \
	exit $$status

format: ## Bring the code into its style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove everything that was built, .venv too
	rm -f .venv/bin/pip # first: should this be cut short, the set-up sees it
	rm -rf .venv build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf ros2_ws/build ros2_ws/install ros2_ws/log
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
