# The commands that people run. `make demo` and `make test` need only Python 3.11, git and make.
PYTHON ?= $(shell command -v python3.11 || echo python3)
SOURCE ?= flyby
RATE ?= 2
OUT ?= out/demo
FLIGHT := .venv/bin
DEV := .venv-dev/bin

.PHONY: help demo test test-fast check check-cpp check-python docs wheel unit benchmark benchmark-rendering benchmark-gnc benchmark-hil reliability datasets clean test-board test-hil integration-fprime integration-cfs

help:
	@echo "make demo               service, camera and consumer on this computer; pictures in $(OUT)"
	@echo "make demo SOURCE=DIR    the same with a folder of images of your own"
	@echo "make demo RATE=4        at 4 frames/s in place of 2"
	@echo "make test               the full development environment, and every test"
	@echo "make test-fast          what takes moments: no rendering, training, C++ build, few processes"
	@echo "make test-board         the service on a virtual aarch64 board: deploy, systemd, power cuts, maps; needs QEMU"
	@echo "make test-hil           all scenarios of docs/hil.md whole, with their verdicts"
	@echo "make integration-fprime FPRIME=DIR [GOOGLETEST=DIR]   the F Prime component, built and tested with the service"
	@echo "make integration-cfs CFE=DIR OSAL=DIR PSP=DIR   the cFS app, built and tested with the service; or CFS=DIR"
	@echo "make check              ruff, mypy, clang-format and clang-tidy only; make check-cpp: the last two"
	@echo "make docs               write the parts of docs/ and the C++ header that are made from the code; a site in out/site"
	@echo "make wheel              the package for every processor, into dist/"
	@echo "make benchmark          engines at equal error, the service, costs: half an hour on a quiet computer"
	@echo "make benchmark-rendering  how rendering scales over worker processes"
	@echo "make benchmark-gnc      the C++ library: speed, sanitizers, ten minutes of fuzzing"
	@echo "make benchmark-hil      what scenarios, recordings and reports cost; needs Chromium and a package index"
	@echo "make datasets SHAPES=DIR CRATER_MAPS=DIR   render every synthetic set into datasets/: an hour or two"
	@echo "make reliability        fuzzing, kills, upsets, soak, flood and power cuts in full: about an hour"
	@echo "make clean              remove the environments and everything in out/"

demo: .venv/ready
	$(FLIGHT)/hil demo --source "$(SOURCE)" --rate "$(RATE)" --out "$(OUT)"

test: check unit

# Side by side: clang-tidy and mypy take as long as each other.
check: .venv-dev/ready
	$(MAKE) --no-print-directory --jobs 2 --output-sync check-cpp check-python

check-python: .venv-dev/ready
	$(DEV)/ruff format --check .
	$(DEV)/ruff check .
	$(DEV)/mypy

check-cpp: .venv-dev/ready
	clang-format --dry-run --Werror $$(git ls-files '*.c' '*.cpp' '*.h' '*.hpp')
	cmake --preset lint >/dev/null
	printf '%s\n' flight/gnc/src/*.cpp | xargs -P 2 -n 1 clang-tidy -p build/lint --quiet

unit: .venv-dev/ready
	$(DEV)/python -m pytest --numprocesses 3

test-fast: .venv-dev/ready
	$(DEV)/python -m pytest --numprocesses 3 -m "not slow"

test-board: .venv-dev/ready
	$(DEV)/python -m tests.hil.board --write docs

# Half an hour, ten minutes of it an hour of flyby at ten times its speed; the link's scenarios need root.
test-hil: .venv-dev/ready
	$(DEV)/hil run --all --write docs

# With F Prime's sources and tools, see docs/gnc.md; a quarter of an hour of one core the first time.
integration-fprime: .venv/ready
	$(FLIGHT)/python -m tests.flight.gnc.fprime.integration --fprime "$(FPRIME)" --googletest "$(GOOGLETEST)"

# With NASA's sources, see docs/gnc.md; two minutes on two quiet cores.
integration-cfs: .venv-dev/ready
	$(DEV)/python -m tests.flight.gnc.cfs.integration --cfs "$(CFS)" --cfe "$(CFE)" --osal "$(OSAL)" --psp "$(PSP)"

docs: .venv-dev/ready
	$(DEV)/python -m flight.icd.document --write
	$(DEV)/python -m flight.service.document --write
	$(DEV)/python -m hil.scenarios.document --write
	$(DEV)/python -m hil.bridge.document --write
	$(DEV)/python -m tests.ground_tools.test_field_tables
	NO_MKDOCS_2_WARNING=1 $(DEV)/python -m mkdocs build --strict --quiet

# For every processor: it has no compiled code. Without what earlier builds left in build/.
wheel: .venv-dev/ready
	rm -rf build/lib build/bdist.*
	$(DEV)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

benchmark: .venv-dev/ready
	$(DEV)/ground-tools benchmark --bundle models/unet_h --write docs

benchmark-rendering: .venv-dev/ready
	$(DEV)/ground-tools benchmark-rendering --write docs

benchmark-gnc: .venv-dev/ready
	$(DEV)/python -m tests.flight.gnc.measure --write docs

benchmark-hil: .venv-dev/ready
	$(DEV)/python -m tests.hil.measure --write docs

datasets: .venv-dev/ready
	$(DEV)/ground-tools render --campaign d1 d2a d2b d3 --shapes "$(SHAPES)" --crater-maps "$(CRATER_MAPS)" --out datasets

reliability: .venv-dev/ready
	$(DEV)/python -m tests.reliability --write docs

# The flight and hil dependencies only: no TensorFlow, no Blender.
.venv/ready: pyproject.toml
	PYTHON="$(PYTHON)" sh tests/system_packages.sh demo
	$(PYTHON) -m venv .venv
	$(FLIGHT)/python -m pip install --quiet --disable-pip-version-check --editable ".[hil]"
	touch $@

.venv-dev/ready: pyproject.toml tests/system_packages.sh
	PYTHON="$(PYTHON)" sh tests/system_packages.sh test
	$(PYTHON) -m venv .venv-dev
	$(DEV)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv .venv-dev out .pytest_cache .mypy_cache .ruff_cache .hypothesis
