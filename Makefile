# Two commands matter: `make book` and `make test`.  `make` alone lists them all.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
PY := .venv/bin/python
# Processes that `make units` and `make test` run at a time.
JOBS ?= 2
# The library's quick tests, in as many lots as processes: each start takes seconds, and one process compiles a thing once.  Every two, three or six
# names in a row take about as long as the next.  Tests of mesh and table start processes of their own and are among the others.
UNITS = train oracle images transformer metrics data loss moving times sample experiment target
OTHERS = $(filter-out $(patsubst %,tests/test_%.py,$(UNITS) bad_inputs exercises),$(wildcard tests/test_*.py))
# The environment is current when the stamp holds the hash of what it was made from.
WANT = $(shell cat requirements.txt jitlib/pyproject.toml | cksum)
HAVE = $(shell cat .venv/stamp 2>/dev/null)

.PHONY: help env browser book units test bench mutants matrix links actions execute serve lock clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | awk -F'|' '{printf "%-15s %s\n", $$1, $$2}'

env:  ## make .venv from requirements.txt, when it is missing or older than the pins
	@if [ "$(WANT)" != "$(HAVE)" ]; then \
	  [ -n "$(PYTHON)" ] || { echo "No Python 3.11, 3.12 or 3.13 was found; install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 1; }; \
	  $(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"this is Python {v[0]}.{v[1]}; the book needs 3.11, 3.12 or 3.13")' || exit 1; \
	  echo "Making .venv (about a minute, 1.2 GB) ..."; rm -rf .venv; \
	  $(PYTHON) -m venv .venv || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; rm -rf .venv; exit 1; }; \
	  $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt || exit 1; \
	  $(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e jitlib || exit 1; \
	  echo "$(WANT)" > .venv/stamp; \
	fi

book: env  ## run the chapters whose inputs changed and build the site in _build/html
	@$(PY) book/execute.py
	@$(PY) book/backmatter.py
	@.venv/bin/jupyter-book build . -W -n --keep-going -q
	@echo "Built. Open file://$(CURDIR)/_build/html/index.html or run: make serve"

browser: env
	@command -v chromium google-chrome chromium-browser >/dev/null || $(PY) -m playwright install chromium-headless-shell || \
	  { echo "No browser was found or could be fetched; install Chromium or Chrome, for example: apt-get install chromium"; exit 1; }

units: env  ## the library's tests, but for those of mesh and table (two and a half minutes on two cores)
	@printf 'tests/test_%s.py\n' $(UNITS) | TYPES=1 xargs -P $(JOBS) -n $$(((12 + $(JOBS) - 1) / $(JOBS))) tests/each.sh
	@tests/each.sh tests/test_bad_inputs.py

test: browser units  ## unit tests, the built pages in a browser, every chapter run again and compared; JOBS=4 runs four at a time
	@# long ones first, so that none is left alone at the end
	@ls -S $(OTHERS) | TYPES=1 xargs -P $(JOBS) -n 1 tests/each.sh
	@ls -r book/[0-9]*.ipynb tests/test_exercises.py | XLA_FLAGS=--xla_cpu_multi_thread_eigen=false OMP_NUM_THREADS=1 xargs -P $(JOBS) -n 1 tests/each.sh --nbval --nbval-cell-timeout=$$(sed -n 's|^CELL_TIMEOUT = \([0-9]*\).*|\1|p' book/execute.py)

bench: env  ## time it all: _build/bench/report.md (about 10 minutes; PyTorch is fetched into _build for comparison)
	@[ -x _build/bench/torch/bin/python ] || { $(PY) -m venv _build/bench/torch && _build/bench/torch/bin/python -m pip install --quiet \
	  --disable-pip-version-check torch==2.13.0 numpy; } || rm -rf _build/bench/torch
	@$(PY) tests/bench/bench.py

mutants: env  ## plant faults, one at a time, and list those that no test notices (about half an hour on two cores; it goes on where it stopped)
	@[ -x _build/mutants/cosmic/bin/python ] || { $(PY) -m venv _build/mutants/cosmic && _build/mutants/cosmic/bin/python -m pip install --quiet \
	  --disable-pip-version-check cosmic-ray==8.7.0; } || { rm -rf _build/mutants/cosmic; exit 1; }
	@_build/mutants/cosmic/bin/python tests/mutants/general.py _build/mutants/general.json target loss sample path times metrics
	@$(PY) tests/mutants/mutants.py

matrix: env  ## the tests on other processors, threads, Pythons and versions (hours; it goes on where it stopped); a part of it: make matrix ROWS="one py313" CHAPTERS="01 units"
	@$(PY) tests/matrix/matrix.py $(ROWS) $(if $(CHAPTERS),--chapters $(CHAPTERS))

links: env  ## ask every address in the book whether it is still there (needs a network)
	@.venv/bin/jupyter-book build . --builder linkcheck -q

actions: env  ## check the workflows with zizmor, and with actionlint where it is installed
	@[ -x _build/actions/bin/zizmor ] || { $(PY) -m venv _build/actions && _build/actions/bin/python -m pip install --quiet \
	  --disable-pip-version-check zizmor==1.32.0; } || { rm -rf _build/actions; exit 1; }
	@_build/actions/bin/zizmor --offline --quiet .github
	@if command -v actionlint >/dev/null; then actionlint; else echo "actionlint was not found: the workflows were checked by zizmor only"; fi

execute: env  ## run chapters again, stale or not: make execute CHAPTER=05
	@$(PY) book/execute.py --force $(CHAPTER)

serve: env  ## show the built site on http://127.0.0.1:8000
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html 8000

lock: env  ## resolve jitlib/pyproject.toml into requirements.txt anew, from releases at least two weeks old
	@$(PY) -m venv _build/lock && _build/lock/bin/python -m pip install --quiet uv
	@_build/lock/bin/uv pip compile --quiet --upgrade --exclude-newer "$$($(PY) -c 'import datetime as d; print(d.date.today() - d.timedelta(14))')" --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra book jitlib/pyproject.toml -o requirements.txt

clean:  ## remove the site and the environment
	rm -rf _build .venv
