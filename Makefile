# Thin: every target is one or two commands that one could type. `make` lists them.
PRESET ?= dev
JOBS ?= $(shell nproc)
CONFIG ?= configs/deployment.json

help:
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

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

tsan:       ## unit and deployment tests under the thread sanitizer
	@tools/setup.sh
	cmake --preset tsan
	cmake --build --preset tsan -j $(JOBS) --target unit_tests
	ctest --test-dir build/tsan --output-on-failure -j $(JOBS) -L unit

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
	cmake --build --preset $(PRESET) -j $(JOBS) --target skywire skywire_faults
	ctest --test-dir build/$(PRESET) --output-on-failure -L e2e

SIM_RUNS ?= 100
sim:        ## dmsg networks that break, in virtual time: SIM_RUNS seeds that nobody has seen
	@tools/setup.sh
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target dmsg_sim_test
	SKYWIRE_SIM_RUNS=$(SIM_RUNS) build/release/dmsg_sim_test -d yes

bench:      ## benchmarks, each median and range of several runs
	@tools/setup.sh
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target skywire benchmarks
	bench/run.py build/release

SOAK_SECONDS ?= 1800
soak:       ## load for SOAK_SECONDS on a deployment; fails where it grows (SOAK_LOG: a file)
	@tools/setup.sh
	cmake --preset release
	cmake --build --preset release -j $(JOBS) --target skywire bench_soak
	bench/soak.py build/release --seconds $(SOAK_SECONDS) $(if $(SOAK_LOG),--log $(SOAK_LOG)) $(SOAK_ARGS)

lint:       ## format, own checks, clang-tidy on what changed since LINT_BASE
	@tools/setup.sh
	cmake --preset dev
	tools/lint.py

lint-all:   ## the same, clang-tidy on everything
	@tools/setup.sh
	cmake --preset dev
	tools/lint.py --all

format:     ## rewrite the sources as clang-format has them
	git ls-files '*.cpp' '*.hpp' | xargs clang-format-19 -i

clean:      ## remove all builds
	rm -rf build

.PHONY: help setup build run test asan tsan fuzz fuzz-long e2e sim bench soak lint lint-all format clean
