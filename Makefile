# The book and its tests, from Python 3.11 and git alone. `make help` lists the targets.

PROFILE ?= full
JOBS ?= 2
PORT ?= 8000
MODEL ?= faces64
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PAGES := build/html/index.html

# npm, node and Jupyter's kernels are those of .venv
export PATH := $(CURDIR)/$(BIN):$(PATH)
export JUPYTER_PREFER_ENV_PATH := 1

ifeq ($(filter $(PROFILE),fast full),)
$(error PROFILE is "$(PROFILE)"; choose fast or full)
endif

.PHONY: book test lint check-pages pdf serve install vendor clean help
.DEFAULT_GOAL := help

book: install vendor ## Install, run the notebooks (PROFILE=full or fast, JOBS=2 at a time) and build the pages
	$(BIN)/python tools/run_notebooks.py --profile $(PROFILE) --jobs $(JOBS)
	$(BIN)/python tools/export_web.py --model $(MODEL) --profile $(PROFILE)
	$(BIN)/python tools/build_book.py --profile $(PROFILE)
	@echo
	@echo "The book is ready:  file://$(CURDIR)/$(PAGES)"
	@echo "Or serve it:        python -m http.server --directory build/html $(PORT)  and open http://localhost:$(PORT)"

test: install ## Install, then run all the tests (PYTEST_ARGS="-m slow" for the slow ones)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

lint: install ## Check style (ruff), stored notebooks (nbstripout) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify $(wildcard notebooks/*.ipynb)
	$(BIN)/mypy src

check-pages: install node_modules/.package-lock.json ## Open every built page in headless Chromium
	$(BIN)/node tools/check_pages.mjs

pdf: install node_modules/.package-lock.json ## Print the built pages into one PDF, and link it from the front page
	$(BIN)/python tools/print_book.py

serve: ## Serve the built pages on PORT (8000)
	$(BIN)/python -m http.server --directory build/html $(PORT)

install: $(VENV)/.installed ## Create .venv and install the package with its book and test tools

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[book,test]'
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps gan-face-generate==1.1.1
	@touch $@

vendor: book/_static/vendor/mathjax/LICENSE

book/_static/vendor/mathjax/LICENSE: node_modules/.package-lock.json tools/vendor.py tools/pack.py
	$(BIN)/python tools/vendor.py
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json | $(VENV)/.installed
	$(BIN)/npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

clean: ## Remove what was built; .venv and node_modules stay
	rm -rf build book/_static/vendor .pytest_cache .mypy_cache .ruff_cache

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
