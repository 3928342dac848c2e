# make demo   the whole line on an embedded sample set: records, training, export, detection with either first stage
# make test   lint, layer contract, types, the tests that are quick;  make test-all  all of them, the notebooks too
# make docs   the guides, the notebooks and the modules' reference as a web site in build/site, its links checked
# make notebooks  runs the notebooks and stores their images in them, for instance after weights were replaced
# make reproduce DATA=DIR   trains on real photographs as the weights that ship were trained, and scores: reproduce.mk
# make clean  removes what these made;  make distclean  removes .venv too
#
# All set up .venv first, with the first of python3, python3.13 … python3.10 that is suitable, or with PYTHON=…

PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python3.10)
IS_SUITABLE := import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 14))
RUN := .venv/bin/python
# Modules are compiled when they are first imported, and kept; most never are, and to compile all takes a minute.
INSTALL = $(RUN) -m pip install --disable-pip-version-check --quiet --no-compile
READY := .venv/installed
DOCS_READY := .venv/installed_docs

export TF_CPP_MIN_LOG_LEVEL ?= 3
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all docs notebooks lint format setup clean distclean
.DELETE_ON_ERROR:

SAMPLES := --dataset=wider_face:demo/sample_set/wider --dataset=points:demo/sample_set/points
BUILD := $(RUN) -m data_prep.build $(SAMPLES) --out_dir=demo/records
TUNE := $(RUN) train.py --records_dir=demo/records --networks=demo/networks --epochs=3 --learning_rate=0.0005

demo: setup
	$(RUN) -m data_prep.sample_set --out_dir=demo/sample_set
	$(BUILD) --stage=pnet
	$(TUNE) --stage=pnet --init_from=mtcnn_tf/weights/classic/pnet.keras --steps_per_epoch=200
	$(BUILD) --stage=rnet --networks=demo/networks
	$(TUNE) --stage=rnet --init_from=mtcnn_tf/weights/classic/rnet.keras --steps_per_epoch=50
	$(BUILD) --stage=onet --networks=demo/networks
	$(TUNE) --stage=onet --init_from=mtcnn_tf/weights/classic/onet.keras --steps_per_epoch=25 \
	    --batch_size=128
	$(RUN) export.py --networks=demo/networks --out_dir=demo/exported
	$(RUN) -m mtcnn_tf.cli.detect demo/sample_set/group.jpg --model=demo/exported --out_dir=demo
	$(BUILD) --stage=rpn
	$(RUN) train.py --stage=rpn --records_dir=demo/records --networks=demo/networks_rpn \
	    --init_from=mtcnn_tf/weights/default/rpn.keras --window=256 --batch_size=8 --epochs=1 --steps_per_epoch=60 \
	    --learning_rate=0.001 --ema=0
	cp demo/networks/onet.keras demo/networks_rpn
	$(RUN) export.py --networks=demo/networks_rpn --out_dir=demo/exported_rpn
	$(RUN) -m mtcnn_tf.cli.detect demo/sample_set/group.jpg --model=demo/exported_rpn --out_dir=demo/rpn
	@echo
	@echo "The faces that were found behind P-Net: $(CURDIR)/demo/group.faces.jpg"
	@echo "… and behind an RPN: $(CURDIR)/demo/rpn/group.faces.jpg"
	@echo "The training in TensorBoard: .venv/bin/tensorboard --logdir demo/networks"

PYTEST := $(RUN) -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

test: setup lint
	$(PYTEST) -m "not slow"

test-all: setup lint
	$(PYTEST)

docs: setup $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --clean

# What C++ libraries write to the kernel's error output goes to the terminal and not into the notebooks.
notebooks: setup
	$(RUN) -m nbconvert --to=notebook --execute --inplace notebooks/*.ipynb \
	    --ExecutePreprocessor.extra_arguments=--IPKernelApp.capture_fd_output=False

lint: setup
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	.venv/bin/lint-imports --no-cache
	$(RUN) -m mypy

format: setup
	$(RUN) -m ruff check --fix
	$(RUN) -m ruff format

setup: $(READY)

# The file $(READY) is written last, so that an installation that was interrupted is begun anew.
$(READY): requirements.txt requirements-dev.txt
	@for python in $(PYTHONS); do \
	    if "$$python" -c '$(IS_SUITABLE)' 2>/dev/null; then suitable=$$python; break; fi; \
	done; \
	if [ -z "$$suitable" ]; then \
	    echo "mtcnn_tf needs Python 3.10, 3.11, 3.12 or 3.13, but found none of them among" $(PYTHONS)":" \
	        "install one, or name one with 'make PYTHON=/path/to/python'." >&2; exit 1; \
	fi; \
	echo "Setting up .venv with $$("$$suitable" --version); this downloads about 1 GB."; \
	rm -rf .venv && "$$suitable" -m venv .venv >.venv.log 2>&1 || { \
	    echo "$$suitable could not make the environment .venv: on Debian and Ubuntu, 'apt-get install python3-venv'" \
	        "brings what it lacks (its own words are in .venv.log)." >&2; exit 1; }; \
	rm -f .venv.log
	@$(INSTALL) -r requirements.txt -r requirements-dev.txt
	@$(INSTALL) --no-deps --editable .
	@touch $(READY)

$(DOCS_READY): $(READY) requirements-docs.txt
	@$(INSTALL) -r requirements-docs.txt
	@touch $(DOCS_READY)

include reproduce.mk

clean:
	rm -rf demo build

distclean: clean
	rm -rf .venv .venv.log
