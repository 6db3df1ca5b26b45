# Everything that a fresh machine with Python and make needs: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PLUGINS := $(filter-out %-openmoji,$(sort $(wildcard plugins/nanogen-*)))
WORKERS ?= 2

.PHONY: install demo matrix bench test suite torture lint parity fidelity equivalence evaluation-cases docs wheels release wheel-tests bundle clean

install: $(STAMP)

# One environment in the checkout, editable. Done again only when this file, a pyproject.toml or the constraints change.
$(STAMP): Makefile pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt \
		--no-compile -e ".[dev]" $(addprefix -e ,$(PLUGINS)) -e "plugins/nanogen-openmoji[demo]"
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null || true  # pip compiles on one core; files of a later Python fail
	touch $@

# make demo, make demo TASK=t2i, make demo SEED=1, make demo DATA=photos (which says what to install)
demo: install
	$(BIN)/nanogen demo $(if $(filter-out openmoji,$(DATA)),--recipe demo-$(DATA) --samples 256) \
		$(if $(TASK),--task $(TASK)) $(if $(SEED),--set seed=$(SEED)) $(if $(OUTPUT),--output $(OUTPUT))

# Every method on both tasks: runs/matrix/report.html. Goes on where it was stopped. make matrix SCALE=0.1 ONLY=vae
matrix: install
	$(BIN)/python -m benchmarks.matrix $(if $(SCALE),--scale $(SCALE)) $(if $(TASKS),--tasks $(TASKS)) \
		$(foreach name,$(ONLY),--only $(name)) $(if $(OUTPUT),--output $(OUTPUT))

# Speed and memory, each against another side in the same run: runs/bench/table.md. make bench ONLY="step ema"
bench: install
	$(BIN)/python -m benchmarks.speed $(foreach name,$(ONLY),--only $(name)) $(if $(OUTPUT),--output $(OUTPUT))

# Lint and the suite side by side.
test: install
	$(MAKE) --no-print-directory -j 2 lint suite

# One thread for each worker: two test processes on two cores get in each other's way otherwise.
# A worker without tests takes some of the other, since the last tests are long ones.
suite: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The long forms of four tests: ten times the damaged files and the steps of two processes, 10,000 generated files for
# each reader, and KILLS deaths each of every kind of training, minutes each. SEED=1 repeats.
torture: install
	NANOGEN_TORTURE=10 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/precomputed/test_thousand.py tests/test_processes.py \
		tests/fuzz \
		tests/config/test_fuzz.py tests/config/test_merging.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/processes/torture.py $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Networks in the published layout against their recorded outputs; NANOGEN_PARITY_FIXTURES names one other folder.
parity: install
	$(BIN)/python -m tests.parity plugins/nanogen-dit/tests/fixtures tests/fidelity/fixtures/networks

# The recorded behaviour of the published code: a line for each fixture. NANOGEN_FIDELITY_FIXTURES names another folder.
fidelity: install
	$(BIN)/python -m tests.fidelity

# Our training against recorded curves of the published training code, in standard errors: minutes.
# NANOGEN_FIDELITY_FIXTURES names another folder, SEEDS=6 more seeds than 4.
equivalence: install
	$(BIN)/python -m benchmarks.equivalence $(if $(SEEDS),--seeds $(SEEDS))

# Cases of published evaluation code; NANOGEN_EVALUATION_CASES names another file of such cases.
evaluation-cases: install
	$(BIN)/python -m tests.evaluation_cases --known tests/data/evaluation_cases.json \
		$${NANOGEN_EVALUATION_CASES:-tests/data/evaluation_cases.json}

# The documentation site: site/index.html. A broken link or an unknown name is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

wheels: install
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist . $(PLUGINS) plugins/nanogen-openmoji

# Wheels and sdists of all distributions, checked and installed into the environments of release/environments.yaml.
release: install
	rm -rf dist
	$(BIN)/python -m release $(foreach name,$(ENVIRONMENT),--environment $(name))

# The tests of every distribution, in an environment with its wheel and what that declares: an hour or more, and 6 GB.
# make wheel-tests ONLY="nanogen-flow nanogen-vae"
wheel-tests: install
	$(BIN)/python -m release.wheel_tests $(ONLY) --constraint constraints.txt

# A folder for a CUDA machine without a package index: its run.sh gives the CUDA tests and the table in seven minutes.
bundle: install
	$(BIN)/python -m benchmarks.bundle $(or $(OUTPUT),dist/bundle)

clean:
	rm -rf $(VENV) dist build runs site
