# Everything a contributor or a CI runs. Each target brings its own environment, .venv, built from constraints.txt;
# a second call finds it ready. Use another interpreter with `make PYTHON=python3.12 test`; the pinned versions need
# Python 3.11 or newer, the package itself 3.10.

PYTHON ?= python3
VENV ?= .venv
WHEEL_VENV ?= .venv-wheel
WORKERS ?= auto
PYTEST_ARGS ?=
GALLERY ?= no

bin := $(VENV)/bin
ready := $(VENV)/.installed
wheel_ready := $(WHEEL_VENV)/.installed
pip := -m pip --disable-pip-version-check --no-input install -qq --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test slow check lint types docs gallery wheel oldest newest release bench format clean
.DELETE_ON_ERROR:

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(ready)  ## train a small encoder without labels and show what it learnt (3 minutes at most)
	$(bin)/python examples/quickstart.py

test: $(ready)  ## the test suite, README and docs examples included
	$(bin)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

slow: $(ready)  ## what takes longer: fuzzing, kills, every kernel compiled, benchmarks in small
	$(bin)/python -m pytest -n $(WORKERS) -m "slow and not cuda" $(PYTEST_ARGS)

check: lint types test docs wheel  ## all that must hold before a commit lands

lint: $(ready)  ## formatting and lint
	$(bin)/ruff format --check .
	$(bin)/ruff check .

types: $(ready)  ## mypy --strict on src
	$(bin)/mypy

docs: $(ready)  ## the site, in docs/_build/html; warnings are errors; GALLERY=smoke takes a few steps of each example
	@# What a failed build has kept would hide its warnings from the next one.
	$(bin)/python -m sphinx -W -n --keep-going -q -b html -D gallery_run=$(GALLERY) docs docs/_build/html \
		|| { rm -rf docs/_build/html/.doctrees; exit 1; }
	@echo "docs/_build/html/index.html"

gallery: $(ready)  ## the site with every example run in full (12 minutes on 2 cores)
	rm -rf docs/gallery
	$(MAKE) docs GALLERY=full

wheel: $(ready) $(wheel_ready)  ## build the wheel and run the README with nothing else installed
	rm -rf dist
	$(bin)/python -m build --no-isolation --wheel . > /dev/null
	$(WHEEL_VENV)/bin/python $(pip) --force-reinstall --no-deps dist/*.whl
	$(WHEEL_VENV)/bin/python -m pip --disable-pip-version-check check
	$(WHEEL_VENV)/bin/python -I tests/markdown_blocks.py README.md

oldest:  ## the test suite with the oldest supported versions of everything
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip --disable-pip-version-check install -q -c constraints-oldest.txt --editable '.[examples,test]'
	# Old packages use what newer ones deprecate.
	$(VENV)-oldest/bin/python -m pytest -n $(WORKERS) -W ignore::DeprecationWarning $(PYTEST_ARGS)

newest:  ## the test suite with the newest versions that the package index has
	$(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip --disable-pip-version-check install -q --upgrade --upgrade-strategy eager --editable '.[examples,test]'
	$(VENV)-newest/bin/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

release: $(ready)  ## build and check what is published; prints the sums of the files
	rm -rf dist
	$(bin)/python -m build --no-isolation . > /dev/null
	$(bin)/python -m twine check --strict dist/*
	for file in dist/*.whl dist/*.tar.gz; do \
		$(PYTHON) -m venv --clear $(WHEEL_VENV) && rm -f $(wheel_ready) && \
		$(WHEEL_VENV)/bin/python $(pip) $$file && $(WHEEL_VENV)/bin/python -m pip check && \
		$(WHEEL_VENV)/bin/python -I tests/markdown_blocks.py README.md || exit 1; \
	done
	touch $(wheel_ready)
	sha256sum dist/*

bench: $(ready)  ## the pairwise ops against the written-out formula (see docs/scaling.md)
	$(bin)/python -m benchmarks pairwise

format: $(ready)  ## put the code in the one format, with the safe lint fixes
	$(bin)/ruff format .
	$(bin)/ruff check --fix .

clean:  ## remove what the other targets made, environments included
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest $(WHEEL_VENV) dist build docs/_build docs/gallery .coverage htmlcov
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(ready): pyproject.toml constraints.txt src/infomax/__init__.py
	$(PYTHON) -m venv $(VENV)
	$(bin)/python $(pip) --editable '.[dev]'
	@touch $@

# Only what the wheel itself declares, so that an undeclared dependency is caught.
$(wheel_ready): $(ready)
	$(PYTHON) -m venv --clear $(WHEEL_VENV)
	rm -rf dist
	$(bin)/python -m build --no-isolation --wheel . > /dev/null
	$(WHEEL_VENV)/bin/python $(pip) dist/*.whl
	@touch $@
