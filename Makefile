# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
DOCS   := .venv-docs
TESTS  ?= tests
# the workers share the cores: threaded linear algebra on matrices this small only gets in its own way
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: help run test lint docs bench lock clean
.DELETE_ON_ERROR:

help:
	@echo "make run    run the bundled demo study, print its verdicts, write results/demo/report.html"
	@echo "make test   run all tests (TESTS=tests/unit runs a part)"
	@echo "make lint   style, format, types, and the rules of the house"
	@echo "make docs   build the documentation into site/"
	@echo "make bench  measure speed"
	@echo "make lock   renew both lock files (needs uv)"
	@echo "make clean  remove everything that was built"

# pip alone is enough: the lock holds hashes and no addresses
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "installing into $(VENV) (once)" >&2
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $(STAMP)

run: $(STAMP)
	$(VENV)/bin/b2b-sem run demo --out results/demo

test: $(STAMP)
	$(PY) -m pytest -n 2 --dist worksteal -q $(TESTS)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PY) -m pytest -q tests/meta

$(DOCS)/.installed: requirements-docs.lock
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	@touch $(DOCS)/.installed

docs: $(STAMP) $(DOCS)/.installed
	$(PY) -m pytest -q tests/meta/test_meta_docs.py
	$(DOCS)/bin/zensical build --strict --clean
	@echo "documentation: site/index.html"

bench: $(STAMP)
	@test -f benchmarks/run.py || { echo "error: benchmarks/run.py is missing from this checkout" >&2; exit 2; }
	$(PY) benchmarks/run.py
	$(PY) benchmarks/missing.py
	$(PY) benchmarks/ordinal.py --out results/bench-ordinal.json

LOCK := uv pip compile --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --universal
lock:
	@command -v uv >/dev/null || { echo "error: uv is needed to renew the locks (never to use them)" >&2; exit 2; }
	$(LOCK) --quiet --group dev pyproject.toml -o requirements.lock
	$(LOCK) --quiet --group docs -o requirements-docs.lock

clean:
	rm -rf $(VENV) $(DOCS) results site build dist .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find b2b_sem tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
