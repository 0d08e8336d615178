# Entry points; the build itself is meson's (meson.build).
SHELL = /bin/bash
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
# What `make run` runs: arguments of build/caisson.
ARGS ?= do -- /bin/sh -c 'uname -a; id; echo hello from inside'

.PHONY: build run test lint format compat install clean bench bench-full deps help

build:
	@scripts/build.sh $(BUILD)

run: deps build
	$(BUILD)/caisson $(ARGS)

test:
	@scripts/install-deps.sh build test
	@scripts/build.sh $(BUILD)
	@scripts/test-all.sh $(BUILD)

lint:
	@scripts/lint.sh $(BUILD)

format:
	@git ls-files 'src/*.[ch]' 'tests/*.[ch]' | xargs clang-format -i

# docs/compatibility.md follows from the table of system calls and the DEVIATION comments.
compat:
	@scripts/gen-syscalls.py src/sys/syscalls.tbl compat docs/compatibility.md

# Installs PREFIX/bin/caisson and PREFIX/libexec/caisson/caisson-sandbox.
install: build
	meson configure $(BUILD) --prefix $(PREFIX)
	@scripts/build.sh $(BUILD)
	DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

bench: build
	@bench/install-deps.sh
	bench/run.py --quick --caisson $(BUILD)/caisson

bench-full: build
	@bench/install-deps.sh
	bench/run.py --full --caisson $(BUILD)/caisson

deps:
	@scripts/install-deps.sh build

clean:
	rm -rf $(BUILD) build-debug build-tsan build-asan-gcc build-asan-clang build-fuzz

help:
	@echo 'make build | run [ARGS=…] | test | lint | format | compat | install [PREFIX=… DESTDIR=…] | bench | bench-full | clean'
