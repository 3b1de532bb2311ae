# `make demo` and `make test` need Python 3.11 or newer, make and a network. .venv holds the rest.

# The first Python that is new enough and runs. A pyenv shim can exist and fail.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$python; break; fi; done)
# dbt 1.11 does not run on every Python that the tap runs on.
DBT_PYTHON ?= $(shell for python in python3.13 python3.12 python3.11; do \
	if $$python -c 'import ensurepip' 2>/dev/null; then echo $$python; exit; fi; done; \
	echo $(PYTHON))
NO_PYTHON = Python 3.11 or newer, with its venv module, is needed; name one with PYTHON=/path/to/python
# FOCUS' validator needs numpy 1.26, so exactly this Python; it may be one of pyenv that is not in use.
PYTHON_312 ?= $(shell for python in python3.12 python3 \
	$$(ls -d $$HOME/.pyenv/versions/3.12*/bin/python3 2>/dev/null); do \
	if $$python -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; \
	then echo $$python; break; fi; done)
NO_PYTHON_312 = make focus: Python 3.12, with its venv module, is needed; name one with PYTHON_312=/path/to/python3.12
VENV = .venv
RUN = $(VENV)/bin/python -m
INSTALLED = $(VENV)/.installed
# $(call install,ENVIRONMENT,PACKAGES): by uv, which is fast, or by pip, which knows more of proxies and mirrors.
install = UV_SYSTEM_CERTS=true $(VENV)/bin/uv pip install --quiet --python $(1)/bin/python $(2) 2>/dev/null || \
	$(1)/bin/python -m pip install --quiet $(2)
# Images of containers set this. The tests start hundreds of processes: each would compile its modules again.
unexport PYTHONDONTWRITEBYTECODE
# A file's tests run in one process; the files that take longest come first.
TEST = $(RUN) pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
# How coverage is measured: sys.monitoring costs little, but Python 3.11 does not have it.
CORE = $(shell $(VENV)/bin/python -c 'import sys; print("sysmon" if hasattr(sys, "monitoring") else "ctrace")')
# What cog is given: the folder of its module, and the pages with generated tables.
PAGES = -P -I docs README.md docs/*.md

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

demo: $(INSTALLED)  ## simulator -> tap -> PostgreSQL -> dbt -> page, and a summary of the marts
	@PYTHONUTF8=1 $(RUN) demo

orchestrate: $(INSTALLED)  ## load simulated ORGANIZATIONS (20, at least 5) under Airflow, twice (six minutes)
	@PYTHONUTF8=1 $(RUN) orchestrate.trial --organizations $(or $(ORGANIZATIONS),20)

bench: $(INSTALLED) .bench/dlt/.installed .bench/airbyte/.installed  ## compare the tap with a floor and three peers (half an hour)
	@$(RUN) bench

bench-marts: $(INSTALLED) .dbt/.installed  ## measure dbt on a year of 2,000 and of 20,000 rows a day (half an hour)
	@$(RUN) bench.marts

focus: .focus/.installed $(INSTALLED) .dbt/.installed  ## build the FOCUS table from the simulator, and validate it (two minutes)
	@PYTHONUTF8=1 $(RUN) focus

test: $(INSTALLED) .dbt/.installed  ## run the tests, without the long ones (five minutes on two cores)
	$(TEST) -m "not long"

test-fast: $(INSTALLED)  ## run the tests that are over in a minute and need no database
	$(TEST) -m "not slow and not long" tests/unit tests/report tests/tap

test-all: coverage test-rest  ## run all tests, and measure the coverage

# Coverage doubles the time of a test on Python 3.11: few tests are enough to measure it.
coverage: $(INSTALLED) .dbt/.installed  ## run the tests that measure the coverage
	COVERAGE_CORE=$(CORE) $(TEST) --cov --cov-fail-under=97 -m measured

test-rest: $(INSTALLED) .dbt/.installed  ## run the others: the slow and the long ones
	$(TEST) -m "not measured"

picture: $(INSTALLED) .dbt/.installed  ## draw docs/report.png: the spend report of a simulated customer, or PAGE
	$(RUN) docs.picture $(PAGE)

snapshot: $(INSTALLED)  ## renew the catalogue that the tests compare with
	$(RUN) pytest -q tests/tap/test_catalog.py --snapshot

examples: $(INSTALLED) .dbt/.installed  ## renew the results below the SQL of docs/
	$(RUN) pytest -q tests/e2e/test_docs.py -k shows_the_result --snapshot

chaos: $(INSTALLED)  ## run the tap against every fault of the simulator (ten minutes)
	@PYTHONUTF8=1 $(RUN) chaos

fuzz: $(INSTALLED)  ## read mutated responses for SECONDS (300)
	@$(RUN) tests.fuzz $(or $(SECONDS),300)

federation: $(INSTALLED)  ## read for MINUTES (3) with access tokens that live LIFETIME seconds (10)
	@$(RUN) tests.long_run $(or $(MINUTES),3) $(or $(LIFETIME),10)

mutations: $(INSTALLED) .dbt/.installed  ## break the rules one by one, and see that the tests fail (ten minutes)
	@$(RUN) tests.mutations

lint: $(INSTALLED)  ## check style, format, types, dependencies, spelling, workflows and generated tables
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(VENV)/bin/lint-imports --no-logo
	$(RUN) deptry .
	$(VENV)/bin/typos
	$(VENV)/bin/zizmor --offline --quiet .github
	$(RUN) check_jsonschema --builtin-schema vendor.meltano meltano.yml
	$(RUN) check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(RUN) check_jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	$(RUN) cogapp --check $(PAGES)
	$(RUN) transform.generate --check

docs: $(INSTALLED)  ## generate the tables of the README and docs/, and the lists of transform/
	$(RUN) transform.generate
	$(RUN) cogapp -r $(PAGES)

wheel:  ## build the wheel, and try it in a clean environment
	@rm -rf build/wheel
	@$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/pip wheel --quiet --no-deps --wheel-dir build/wheel .
	build/wheel/venv/bin/pip install --quiet build/wheel/*.whl
	cd build/wheel && venv/bin/tap-claude --version
	cd build/wheel && venv/bin/tap-claude --discover > catalog.json
	cd build/wheel && venv/bin/python -c "import json; assert json.load(open('catalog.json'))['streams']"

clean:  ## remove the environment, the demo's data and all caches
	rm -rf $(VENV) .bench .coverage* .dbt .demo .focus .meltano .orchestrate .targets .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist \
		transform/target transform/logs
	find tap_claude claude_report simulator tests demo bench chaos focus orchestrate transform -name __pycache__ -exec rm -rf {} +

constraints:  ## pin the newest versions that pyproject.toml allows, for every Python
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && \
	$(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install --quiet uv && \
	UV_SYSTEM_CERTS=true "$$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 \
		--no-header --no-annotate --extra report --group dev pyproject.toml --output-file "$$tools/pins" && \
	{ echo '# Development pins for every supported Python. To rebuild: make constraints'; \
	cat "$$tools/pins"; } > constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@$(if $(PYTHON),,$(error $(NO_PYTHON)))
	@echo "Building $(VENV) (only once) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN) pip install --quiet --upgrade pip uv --constraint constraints.txt
	@$(call install,$(VENV),--editable .[report] --group dev --constraint constraints.txt)
	@touch $@

# dbt, in an environment of its own.
.dbt/.installed: transform/requirements.txt | $(INSTALLED)
	@echo "Building .dbt (only once) ..."
	@$(DBT_PYTHON) -m venv --clear .dbt
	@$(call install,.dbt,--requirement $<)
	@touch $@

# FOCUS' validator, in an environment of its own.
.focus/.installed: transform/requirements-focus.txt | $(INSTALLED)
	@$(if $(PYTHON_312),,$(error $(NO_PYTHON_312)))
	@echo "Building .focus (only once) ..."
	@$(PYTHON_312) -m venv --clear .focus
	@$(call install,.focus,--requirement $<)
	@touch $@

# The targets of the tests, each in an environment of its own.
.targets/%/.installed: tests/e2e/requirements-%.txt | $(INSTALLED)
	@$(PYTHON) -m venv --clear .targets/$*
	@$(call install,.targets/$*,$(ALONE) --requirement $<)
	@touch $@

# The file says why.
.targets/pipelinewise-target-postgres/.installed: ALONE = --no-deps

# The peers of the benchmark, each in an environment of its own.
.bench/%/.installed: bench/requirements-%.txt | $(INSTALLED)
	@echo "Building .bench/$* ..."
	@$(PYTHON) -m venv --clear .bench/$*
	@$(call install,.bench/$*,--requirement $<)
	@touch $@

.PHONY: help bench bench-marts demo focus orchestrate picture test test-fast test-all test-rest coverage snapshot examples chaos fuzz \
	federation mutations lint docs wheel clean constraints
