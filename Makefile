# Two commands for a reader: `make demo` and `make test`. Both set up all they need.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
CLUSTER ?= auto
KUBE_VERSION ?= 1.37
export CLUSTER KUBE_VERSION

BIN := .venv/bin
PY := $(BIN)/python
VENV := .venv/.locked
NATIVE := build/native/.built
SHARE := build/native/.share
WHEELS := build/wheels/.built

NATIVE_SOURCES := $(shell find cuda-intercept -type f -not -path '*/__pycache__/*')
NVIDIA = $(wildcard .venv/lib/python3.*/site-packages/nvidia)
HEADERS = --cuda12 $(NVIDIA)/cuda_runtime/include --cuda13 $(NVIDIA)/cu13/include --nvml $(NVIDIA)/cu13/include/nvml.h
PYTHON_SOURCES := $(shell find api driver -name '*.py' -o -name '*.pyi') pyproject.toml

.PHONY: help demo demo-down test unit native-test native-sanitized lint-beside-build unit-beside-images e2e e2e-1.36 e2e-containerd-1.7 e2e-kind-short lint bench gpu-check gpu-check-bundle bench-control-plane plot-control-plane plot-cores plots packages programs images driver-image generate lock clean

help:
	@echo "make demo        a two-node cluster with fake GPUs, the driver, and a pod with a share of a GPU"
	@echo "make demo-down   removes what make demo left"
	@echo "make test        every check and test; make unit, native-test, e2e, lint run a part"
	@echo "make native-sanitized  the native tests under AddressSanitizer with UndefinedBehaviorSanitizer, then under ThreadSanitizer; a quarter of an hour"
	@echo "make e2e-1.36    the first share on Kubernetes 1.36, with either allocator"
	@echo "make e2e-containerd-1.7  the first share on containerd 1.7, with either allocator"
	@echo "make bench       benchmarks, with ratios against a baseline of the same run; twenty minutes, most of it core shares"
	@echo "make gpu-check   on a machine with an NVIDIA GPU: proves the interceptor, in at most eight minutes; needs Python and gcc only"
	@echo "make gpu-check-bundle  build/gpu-check.tar.gz, the same for another machine"
	@echo "make bench-control-plane  CPU of the control plane per pod at 500 nodes, three rounds; an hour"
	@echo "make plot-control-plane  draws what bench-control-plane measured, of all sizes, into docs/control-plane.png"
	@echo "make plot-cores  draws how exactly shares of the GPU's time are held into docs/core-shares.png; measures first, half an hour, where build/bench/cores.json is not there"
	@echo "make plots       the same, and how decisions, the controller's memory and the plugin grow, as pictures in docs/; a quarter of an hour more"
	@echo "make driver-image  build/images/driver.tar, the image of both daemons, with Docker or without"
	@echo "make e2e-kind-short  on kind: the first share, sharing, faults, and the chart's install, upgrade and uninstall"
	@echo "CLUSTER=kind or CLUSTER=local says on what; else kind, where a Docker engine and kind's node image are there;"
	@echo "for CLUSTER=kind without them, an engine and a node image are brought along"

$(VENV): requirements-dev.lock pyproject.toml
	@echo "==> Python packages into .venv (about a minute with a warm cache, three without)"
	@# The driver's image has Debian 12's Python: wheels made for another one would not load in it.
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed, found $$($(PYTHON) --version); name it with PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

packages: $(VENV)
	@$(PY) -m testbed packages

programs: packages
	@$(PY) -m testbed programs

CONFIGURE = $(BIN)/cmake -S cuda-intercept -B build/native -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPython3_EXECUTABLE=$(abspath $(PY)) -DCMAKE_BUILD_TYPE=RelWithDebInfo >build/native-configure.log 2>&1 || { cat build/native-configure.log; exit 1; }

$(NATIVE): $(VENV) $(NATIVE_SOURCES)
	@echo "==> the interceptor, the fake driver and their tests"
	@$(CONFIGURE)
	@# ninja would want make's job slots, which no recipe gets.
	@MAKEFLAGS= $(BIN)/cmake --build build/native
	@touch $(SHARE) $@

# What a cluster takes of it, for whoever wants no tests.
$(SHARE): $(VENV) $(NATIVE_SOURCES)
	@echo "==> the interceptor and the fake driver"
	@$(CONFIGURE)
	@$(BIN)/cmake --build build/native --target hami_share fake/all
	@touch $@

build:
	@mkdir -p $@

$(NATIVE) $(SHARE): | build

# The driver's image installs from these files only, so its build needs no network.
$(WHEELS): $(VENV) requirements.lock $(PYTHON_SOURCES)
	@echo "==> wheels of the driver and of what it depends on"
	@mkdir -p build/wheels && rm -f build/wheels/hami_dra-*.whl
	@cmp -s requirements.lock build/wheels/requirements.lock || { rm -f build/wheels/*; $(BIN)/pip wheel --quiet --disable-pip-version-check --require-hashes -r requirements.lock -w build/wheels && cp requirements.lock build/wheels/; }
	@$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w build/wheels .
	@touch $@

images: programs $(SHARE) $(WHEELS)
	@$(PY) -m testbed images

driver-image: $(SHARE) $(WHEELS)
	@if docker info >/dev/null 2>&1; then docker build -f deploy/images/driver/Dockerfile -t hami-dra:$$($(PY) -c 'import importlib.metadata as m; print(m.version("hami-dra"))') .; else $(MAKE) images; fi

demo: programs $(SHARE) $(WHEELS)
	@$(PY) -m testbed up

demo-down: $(VENV)
	@$(PY) -m testbed down

generate: $(VENV)
	@$(PY) -m hami_dra.api.generate
	@$(PY) cuda-intercept/generate $(HEADERS)

lint: $(VENV)
	@echo "==> lint, types, layers, generated files"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --config pyproject.toml
	@$(BIN)/yamllint -s deploy .yamllint
	@$(PY) -m hami_dra.api.generate --check
	@$(PY) cuda-intercept/generate $(HEADERS) --check

unit: packages $(NATIVE)
	@echo "==> unit and integration tests"
	@$(BIN)/pytest -q -n auto tests --ignore=tests/e2e --ignore=tests/bench --ignore=tests/cluster --ignore=tests/faults

native-test: packages $(NATIVE)
	@echo "==> native tests"
	@cd build/native && $(abspath $(BIN))/ctest --output-on-failure -j2

# Each kind has a build of its own. Tests of the machine that a plain run has shown are not shown again.
SANITIZERS ?= address,undefined thread
native-sanitized: packages
	@for kind in $(SANITIZERS); do \
	    echo "==> native tests under $$kind"; \
	    folder=build/native-$${kind%%,*}; mkdir -p build; \
	    $(BIN)/cmake -S cuda-intercept -B $$folder -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DPython3_EXECUTABLE=$(abspath $(PY)) -DCMAKE_BUILD_TYPE=RelWithDebInfo -DHAMI_SANITIZE=$$kind >$$folder-configure.log 2>&1 || { cat $$folder-configure.log; exit 1; }; \
	    $(BIN)/cmake --build $$folder || exit 1; \
	    (cd $$folder && $(abspath $(BIN))/ctest --output-on-failure -j2 -E "$(NOT_SANITIZED)") || exit 1; \
	done
NOT_SANITIZED = ^(build|generator|generated_is_current|release_.*|other_release_.*)$$

# Stories and faults wait for daemons most of the time, so several clusters take turns well. The local cluster's own
# tests compare the machine before and after, and have it for themselves.
E2E_PROCESSES ?= 3
e2e: programs $(NATIVE) $(WHEELS)
	@echo "==> the local cluster's own tests, then faults on hollow clusters and every story of deploy/examples on a cluster"
	@if [ "$$($(PY) -m testbed chosen)" = local ]; then $(BIN)/pytest -v --durations=10 tests/cluster && $(BIN)/pytest -v --durations=40 -n $(E2E_PROCESSES) --dist loadscope tests/faults tests/e2e; else $(BIN)/pytest -v --durations=25 tests/e2e; fi

e2e-1.36: export KUBE_VERSION = 1.36
e2e-1.36: export HAMI_DRA_E2E_CLUSTER = e2e-136
e2e-1.36: programs $(NATIVE) $(WHEELS)
	@echo "==> the first share on Kubernetes 1.36"
	@$(BIN)/pytest -v tests/e2e -k first_share

e2e-containerd-1.7: export CONTAINERD = 1.7
e2e-containerd-1.7: export CLUSTER = local
e2e-containerd-1.7: export HAMI_DRA_E2E_CLUSTER = e2e-ctd17
e2e-containerd-1.7: programs $(NATIVE) $(WHEELS)
	@echo "==> the first share on containerd 1.7"
	@$(BIN)/pytest -v tests/e2e -k first_share

# With an engine and a node image of our own, where this machine has none.
e2e-kind-short: export CLUSTER = kind
e2e-kind-short: export HAMI_DRA_E2E_CLUSTER = e2e-kind
e2e-kind-short: packages programs $(NATIVE) $(WHEELS)
	@echo "==> sharing, faults and the chart on kind"
	@$(BIN)/pytest -v tests/e2e/test_sharing.py tests/e2e/test_faults.py tests/e2e/test_controller_faults.py tests/e2e/test_chart.py

test: packages lint-beside-build native-test unit-beside-images e2e

# What lint does uses one core, and so does the end of a build. A line of either is printed when it is done.
lint-beside-build: packages
	@$(MAKE) -j2 --output-sync=line lint $(NATIVE) $(WHEELS)

# Else the processes that tell the stories would all wait for the first of them to build the images.
unit-beside-images: packages programs $(NATIVE) $(WHEELS)
	@echo "==> images for the stories, meanwhile (build/images.log)"
	@$(MAKE) images >build/images.log 2>&1 & images=$$!; $(MAKE) unit; unit=$$?; \
	    wait $$images || { cat build/images.log; exit 1; }; exit $$unit

# Core shares last: every case of them takes longer than all the rest.
bench: programs $(NATIVE)
	@for bench in $(filter-out tests/bench/bench_cores.py,$(wildcard tests/bench/bench_*.py)); do echo "==> $$bench"; $(PY) $$bench || exit 1; done
	@echo "==> tests/bench/bench_cores.py"; $(PY) tests/bench/bench_cores.py --full --output $(CORES)

# Needs neither packages nor the native build: the machine may have nothing but a driver, Python and gcc.
GPU_CHECK ?=
gpu-check:
	@$(PYTHON) tests/gpu/run --output build/gpu-check $(GPU_CHECK)

gpu-check-bundle: $(NATIVE)
	@$(PY) tests/gpu/run --pack build/gpu-check.tar.gz --library build/native/lib/libhami_share.so --python $(PY)

plots: packages $(NATIVE) plot-cores
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-plots.lock
	@$(PY) tests/bench/plot_growth.py
	@$(PY) tests/bench/plot_plugin.py

CORES := build/bench/cores.json
$(CORES): | packages $(NATIVE)
	@$(PY) tests/bench/bench_cores.py --full --output $@

plot-cores: $(CORES)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-plots.lock
	@$(PY) tests/bench/plot_cores.py $<
	@$(PY) tests/bench/core_table.py $<

BENCH_NODES ?= 500
BENCH_PODS ?= 2000
BENCH_ROUNDS ?= 3
BENCH_VARIANTS ?= controller scheduler controller-pinned controller-no-nomination scheduler-no-nomination plain
bench-control-plane: programs
	@$(PY) tests/bench/bench_control_plane.py --nodes $(BENCH_NODES) --pods $(BENCH_PODS) --rounds $(BENCH_ROUNDS) $(BENCH_VARIANTS:%=--variant %) --output build/bench/control-plane-$(BENCH_NODES)

plot-control-plane: packages
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-plots.lock
	@$(PY) tests/bench/plot_control_plane.py $$(ls -v build/bench/control-plane-*.json)

lock: $(VENV)
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile -q pyproject.toml --extra image --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 -o requirements.lock
	@$(BIN)/uv pip compile -q pyproject.toml --extra dev --extra native --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 -o requirements-dev.lock
	@$(BIN)/uv pip compile -q pyproject.toml --extra plots --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 -c requirements-dev.lock -o requirements-plots.lock

clean:
	@rm -rf build .venv
