# Thin: every target is one or two commands that one could type. `make` lists them.
PRESET ?= dev
JOBS ?= $(shell nproc)
CONFIG ?= configs/deployment.json

help:
	@grep -hE '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## */\t/' | expand -t 18

setup:      ## install what is missing (root or sudo)
	tools/setup.sh

build:      ## release binary at build/release/skywire
	@tools/setup.sh build
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target skywire

run: build  ## build, then boot CONFIG (configs/deployment.json); Ctrl-C stops it
	build/release/skywire svc run --config $(CONFIG)

test:       ## build and run every test
	@tools/setup.sh
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) -j $(JOBS)
	ctest --test-dir build/$(PRESET) --output-on-failure -j $(JOBS)

asan:       ## every test under the address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory test PRESET=asan

tsan:       ## what runs several threads, the whole process too, under the thread sanitizer
	@tools/setup.sh
	cmake --preset tsan
	cmake --build --preset tsan -j $(JOBS) --target threaded_tests e2e
	ctest --test-dir build/tsan --output-on-failure -j $(JOBS) -L 'threads|e2e'

FUZZ_SECONDS ?= 20
fuzz:       ## each fuzz target for FUZZ_SECONDS, in the sanitizers' build
	@tools/setup.sh
	cmake --preset asan
	cmake --build --preset asan -j $(JOBS) --target fuzzers
	tools/fuzz.sh build/asan $(FUZZ_SECONDS)

fuzz-long:  ## an hour of fuzzing, optimised
	@tools/setup.sh
	cmake --preset fuzz
	cmake --build --preset fuzz -j $(JOBS) --target fuzzers
	tools/fuzz.sh build/fuzz 3600

e2e:        ## black-box tests of the real binary, alone
	@tools/setup.sh
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) -j $(JOBS) --target e2e
	ctest --test-dir build/$(PRESET) --output-on-failure -L e2e

# Containers need root: for Debian's packages, an engine where none runs, and faults. Where there is no
# sudo either, what cannot be done says so itself.
ROOT := $(shell [ "$$(id -u)" = 0 ] || ! command -v sudo >/dev/null || echo sudo -E)
# Whoever has no Python has started no containers.
WITH_PYTHON = command -v python3 >/dev/null || { echo "no containers: make e2e-run starts them"; exit 0; };
E2E_PRESET ?= release
e2e-images: ## images of the container forms, from Debian's packages and build/release/skywire
	@tools/setup.sh containers
	@$(ROOT) docker/containers.py ready
	@$(MAKE) --no-print-directory build
	$(ROOT) docker/containers.py images $(IMAGE_ARGS)

e2e-run: e2e-images ## boot all services in one container, with clients beside it
	$(ROOT) docker/containers.py up one

e2e-nine: e2e-images ## boot a container for each service, with Redis
	$(ROOT) docker/containers.py up nine

e2e-test:   ## tests and faults in the form that runs, else in one container
	@tools/setup.sh
	cmake --preset $(E2E_PRESET)
	cmake --build --preset $(E2E_PRESET) -j $(JOBS) --target e2e
	SKYWIRE_BIN_DIR=build/$(E2E_PRESET) $(ROOT) docker/containers.py test $(E2E_ARGS)

e2e-logs:   ## what the containers said
	@$(WITH_PYTHON) $(ROOT) docker/containers.py logs

e2e-stop:   ## end the containers, and the engine where one was started for them
	@$(WITH_PYTHON) $(ROOT) docker/containers.py down

# Each program in JOBS processes, which share the seeds. Those of dmsg cost twenty times as much.
SIM_RUNS ?= 2000
SIM_RUNS_DMSG ?= $(shell expr $(SIM_RUNS) / 200)
sim_from = $(if $(SIM_FROM),SKYWIRE_SIM_FROM=$$(( $(SIM_FROM) + {} * ($(2) / $(JOBS)) )))
sim_run = seq 0 $$(( $(JOBS) - 1 )) | xargs -P $(JOBS) -I{} sh -c \
	'SKYWIRE_SIM_RUNS=$$(( $(2) / $(JOBS) )) $(sim_from) $(1) -d yes'
sim:        ## networks and feeds that break, in virtual time: SIM_RUNS seeds, from SIM_FROM on or unseen ones
	@tools/setup.sh
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target dmsg_sim_test cxo_sim_test
	$(call sim_run,build/release/cxo_sim_test,$(SIM_RUNS))
	$(call sim_run,build/release/dmsg_sim_test,$(SIM_RUNS_DMSG))

bench:      ## benchmarks, each median and range of several runs
	@tools/setup.sh
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target skywire benchmarks
	bench/run.py build/release

bench-containers: e2e-images ## how long containers take from `docker run` to ready, and how large they are
	$(ROOT) docker/containers.py with bench/containers.py --runs 3

SOAK_SECONDS ?= 1800
soak:       ## load for SOAK_SECONDS on a deployment; fails where it grows (SOAK_LOG: a file)
	@tools/setup.sh
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target skywire bench_soak
	bench/soak.py build/release --seconds $(SOAK_SECONDS) $(if $(SOAK_LOG),--log $(SOAK_LOG)) $(SOAK_ARGS)

lint:       ## format, own checks, clang-tidy on what changed since LINT_BASE
	@tools/setup.sh
	cmake --preset dev
	cmake --build --preset dev --target skywire_pch
	tools/lint.py

lint-all:   ## the same, clang-tidy on everything
	@tools/setup.sh
	cmake --preset dev
	cmake --build --preset dev --target skywire_pch
	tools/lint.py --all

format:     ## rewrite the sources as clang-format has them
	@tools/setup.sh
	git ls-files '*.cpp' '*.hpp' | xargs clang-format-19 -i

clean:      ## remove all builds
	@! command -v python3 >/dev/null || docker/containers.py idle
	[ ! -d build/docker ] || $(ROOT) rm -rf --one-file-system build/docker
	rm -rf --one-file-system build

.PHONY: help setup build run test asan tsan fuzz fuzz-long e2e bench-containers \
	e2e-images e2e-run e2e-nine e2e-test e2e-logs e2e-stop sim bench soak lint lint-all format clean
