# make demo           install the package and find the trucks in the sample scene
# make test           install the package and run lint, type checks and tests
# make test-slow      run the slow tests
# make plugin         write the QGIS plugin: dist/rrsis_geo.zip
# make picture        update the picture of the README
# make eval-default   score the shipped model
# make clean          delete everything that make created
#
# Requires python3 (3.11 to 3.13) with the venv module, and a network connection the first time.
# Variables:
#   PYTHON=python3.12                   Python interpreter
#   PIP_ARGS="..."                      more arguments for pip, such as another index
#   WORKERS=4                           test processes
#   INSTANCES="a.json b.json"           COCO files for `make eval-default`

PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= 2
INSTANCES ?= ../shared/data/instances_val.json ../shared/data2/instances_val.json
VENV := .venv
BIN := $(VENV)/bin
OUT := out

.PHONY: demo plugin picture test test-slow eval-default clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	@mkdir -p $(OUT)
	$(BIN)/rrsis-geo segment sample_data/scene.tif "the truck on the road" \
		-o $(OUT)/demo.gpkg --preview $(OUT)/demo.png --overwrite
	@$(BIN)/python benchmarks/layer_score.py $(OUT)/demo.gpkg sample_data/truth.gpkg
	@echo "preview   $(abspath $(OUT)/demo.png)"

plugin:
	$(PYTHON) qgis_plugin/make_zip.py dist/rrsis_geo.zip

# The picture of the README: the preview of the demo, smaller.
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

# Scores of the shipped model on held-back images and painted scenes, then on mosaics with the
# whole pipeline. Takes minutes on two cores.
eval-default: $(VENV)/installed
	$(BIN)/python benchmarks/validation.py --instances $(INSTANCES)
	$(BIN)/python benchmarks/mosaics.py --instances $(INSTANCES)

clean:
	rm -rf $(VENV) $(OUT) build dist .mypy_cache .ruff_cache .pytest_cache

# The install is editable, so it does not depend on the source files.
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
