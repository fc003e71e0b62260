# make setup   creates .venv and installs everything into it (once; again when pyproject.toml changed)
# make demo    builds a bundle of the default student for each platform and animates a sticker with one
# make test    runs the tests
# make lint    ruff, ruff format and mypy --strict
# make clean   removes what the other targets and the tools made; .venv stays (rm -rf .venv to start over)
#
# PYTHON=python3.12        another interpreter (3.11 or newer)
# TORCH_INDEX=https://...  another index for torch, such as the one with the small CPU-only wheels

PYTHON ?= python3
TORCH_INDEX ?=
TORCH := torch==2.13.0

BIN := .venv/bin
PIP_FLAGS := --disable-pip-version-check $(if $(CI),--quiet)
STAMP := .venv/.installed
STICKER := edge_stickers/assets/stickers/cat.svg

.PHONY: setup demo test lint clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11 or missing; run: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.11" >&2; exit 3; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "error: $(PYTHON) cannot make virtual environments; on Debian run: apt install python3-venv" >&2; exit 3; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable '.[dev]'
	@touch $@

# One folder a platform, each with what its app needs and no more.
demo: $(STAMP)
	$(BIN)/edge-stickers build --target executorch -o build/android
	$(BIN)/edge-stickers build --target coreml -o build/ios
	$(BIN)/edge-stickers build --target onnx -o build/web
	$(BIN)/edge-stickers animate $(STICKER) --prompt "the cat hops" --bundle build/android -o build/demo.webp
	@echo
	@echo "look at build/demo.webp (open it in a browser) and build/android/report.html;"
	@echo "drop build/android, build/ios or build/web into an app"

# Most tests take one thread: two processes halve their time. WORKERS=4 for more, at about 2 GB each.
WORKERS ?= 2
# The conformance suite gets a process of its own: other tests replace the runtime for ONNX for their whole session.
CONFORMANCE := tests/runtimes/test_conformance.py
test: $(STAMP)
	$(BIN)/python -m pytest $(CONFORMANCE)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --ignore=$(CONFORMANCE)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

clean:
	rm -rf build dist edge_stickers.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
