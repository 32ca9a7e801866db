# make demo   sets everything up and runs the main job on the sample scene
# make test   sets everything up and runs lint, types and tests
#
# Needs python3 (3.11 to 3.13) with its venv module, and a network the first time. Variables:
#   PYTHON=python3.12                   another interpreter
#   PIP_ARGS="..."                      more arguments for pip, such as another index
#   WORKERS=4                           test processes
#   INSTANCES=path/instances_val.json   what `make eval-default` scores the shipped model on

PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= 2
INSTANCES ?= ../shared/data/instances_val.json
VENV := .venv
BIN := $(VENV)/bin
OUT := out

.PHONY: demo picture test test-slow eval-default clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	@mkdir -p $(OUT)
	$(BIN)/rrsis-geo segment sample_data/scene.tif "the truck on the road" \
		-o $(OUT)/demo.gpkg --preview $(OUT)/demo.png --overwrite
	@$(BIN)/python benchmarks/layer_score.py $(OUT)/demo.gpkg sample_data/truth.gpkg
	@echo "preview   $(abspath $(OUT)/demo.png)"

# What the README shows of the demo.
picture: demo
	$(BIN)/python -c "from PIL import Image; im = Image.open('$(OUT)/demo.png').convert('RGB'); \
		im.thumbnail((1000, 1100)); im.quantize(128).save('docs/demo.png', optimize=True)"

test: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu" -n $(WORKERS)

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "slow and not gpu"

# Scores of the shipped model: held-back images and painted scenes, then mosaics through the
# whole pipeline. Minutes on two cores.
eval-default: $(VENV)/installed
	$(BIN)/python benchmarks/validation.py --instances $(INSTANCES)
	$(BIN)/python benchmarks/mosaics.py --instances $(INSTANCES)

clean:
	rm -rf $(VENV) $(OUT) build dist .mypy_cache .ruff_cache .pytest_cache

# The install is editable, so that a stamp need not follow every source file.
$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -e '.[dev]'
	@touch $(VENV)/installed $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "rrsis-geo needs Python 3.11 to 3.13: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
