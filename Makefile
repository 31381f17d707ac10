# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
VENV ?= .venv
PY := $(VENV)/bin/python
IMAGES ?=
BOOKMARKS ?=
MASKS ?=
WORK_DIR ?=
SCALE ?= cpu
SOURCE ?=
ARGS ?=
JOBS ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup demo evidence test test-slow fuzz test-openmmlab lint coverage format docs bench doctor clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## Create .venv: torch, mmcv with operators, mmglan (a second call takes seconds)
	@VENV=$(VENV) bash tools/setup.sh

demo: setup ## Bookmarks to pseudo masks, trained detector and report; IMAGES=… BOOKMARKS=… [MASKS=…] for your own data
	@$(PY) -m mmglan demo $(if $(IMAGES),--images "$(IMAGES)") $(if $(BOOKMARKS),--bookmarks "$(BOOKMARKS)") \
		$(if $(MASKS),--masks "$(MASKS)") $(if $(WORK_DIR),--work-dir "$(WORK_DIR)") $(ARGS)

evidence: setup ## Train and compare the rows of the benchmark; SCALE=tiny|cpu|gpu, SOURCE=folder of the LGG set (docs/evidence.md)
	@$(PY) -m mmglan evidence --scale $(SCALE) $(if $(SOURCE),--source "$(SOURCE)") $(if $(WORK_DIR),--work-dir "$(WORK_DIR)") $(ARGS)

test: setup ## Run the test suite; JOBS=processes (all cores)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

test-slow: setup ## Run the long trials: killed runs, large inputs, training under limits
	@$(PY) -m pytest -m slow $(ARGS)

fuzz: setup ## Feed 10 000 broken inputs to each reader; ARGS="-k zip" for some
	@MMGLAN_FUZZ_EXAMPLES=10000 $(PY) -m pytest -m fuzz $(ARGS)

test-openmmlab: ## Run the test suite on mmcv 2.1.0, mmdet 3.3.0 and mmengine 0.10.7, in .venv-openmmlab
	@FAMILY=openmmlab VENV=.venv-openmmlab bash tools/setup.sh
	@.venv-openmmlab/bin/python -m pytest $(ARGS)

coverage: setup ## Which lines the tests run; ARGS="tests/detections tests/evaluation" for some
	@$(PY) -m pytest --cov --cov-report=term:skip-covered $(ARGS)

lint: setup ## Check style, format, and the types of the public calls
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

docs: setup ## Build the documentation into site/; a warning or a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict && echo "site/index.html"

format: setup ## Apply the format
	@$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

bench: setup ## Measure speed and growth, and write docs/benchmarks.md; ARGS="growth froc_speed" for some
	@$(PY) tools/benchmarks/write_page.py $(ARGS)

doctor: setup ## What is installed, what is wrong, and how to fix it
	@$(PY) -m mmglan doctor

clean: ## Remove what the demo and the tests wrote (not .venv)
	rm -rf work_dirs site .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
