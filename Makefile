# SPDX-License-Identifier: GPL-2.0
# The one way in: `make help` lists what can be done here. Kbuild is the kernel's side of it.

# KDIR     a prepared kernel tree with Rust metadata: build the module on this machine, against it
# T        a pattern: run only the guest's test cases that match
# APPEND   more words for the stock kernel's command line in `make test`, such as preempt=full
# FLAVOUR  rt: the distribution's real-time kernel instead of its usual one, for `make test`, `run`, `shell`
# CASE     a pattern: measure only the cases that match, such as 'hot/nat'
# N, SEED  how many scenarios `make oracle` draws, and from which seed
# KREL     the kernel that `make install` installs for
# STAND_IN 1: `make install` also installs modules by the names of IPVS's, which load rlvs
KDIR ?=
T ?=
FLAVOUR ?=
N ?= 200
SEED ?= 1
KREL ?= $(shell uname -r)

# What is made for another flavour ends in its name.
export FLAVOUR
debug bench oracle: override FLAVOUR :=
SUFFIX := $(addprefix -,$(FLAVOUR))

.DEFAULT_GOAL := all
.PHONY: help setup all module tool run shell test check debug install clean bench oracle oracle-teeth

help:
	@echo 'make              build build/rlvs.ko and build/rlvsadm for the stock Debian 13 backports kernel'
	@echo 'make run          see it work: boot that kernel in QEMU, balance HTTP in all ways, check who answered'
	@echo 'make shell        the same machine with a prompt in it'
	@echo 'make test         checks, host tests and guest tests; make test T=PATTERN: matching guest tests only'
	@echo '                  make test FLAVOUR=rt T=PATTERN: the same on the real-time kernel, which is got when asked for'
	@echo 'make check        formatting, lints, warnings, house rules'
	@echo 'make debug        all guest tests in a User-Mode Linux kernel that checks locks, RCU and memory; make debug T=PATTERN'
	@echo 'make oracle       the same rules and packets through IPVS and rlvs, all that shows compared; make oracle N=2000 SEED=1'
	@echo 'make oracle-teeth plant faults in rlvs, each of which the oracle must find'
	@echo 'make setup        get what all of these need, once; make setup REFRESH=1: newest kernel, anew'
	@echo 'make install      build and install for the running kernel of this machine, if it has Rust'
	@echo '                  make install STAND_IN=1: "modprobe ip_vs" loads it, too'
	@echo 'make KDIR=PATH    build build/rlvs.ko on this machine against any prepared kernel tree'
	@echo 'make clean        remove build/; what setup got stays in ~/.cache/rlvs (RLVS_CACHE)'
	@echo 'make bench        measure against IPVS and plain forwarding; make bench CASE=PATTERN: matching cases only'
	@echo '                  make bench CASE="count*": instructions a packet, in two minutes after the first build'

setup:
	@qemu/setup.sh

# --- building ----------------------------------------------------------------

ifeq ($(KDIR),)

all: module tool

module:
	@qemu/setup.sh --quiet
	@qemu/kbuild module modules
	@cp -u build/module$(SUFFIX)/rlvs.ko build/rlvs$(SUFFIX).ko

tool:
	@qemu/setup.sh --quiet
	@qemu/enter cargo build --release --locked --manifest-path tools/rlvsadm/Cargo.toml
	@cp -u build/cargo/release/rlvsadm build/rlvsadm

else

all: module

module:
	@mkdir -p build/kdir
	$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(CURDIR)/build/kdir modules
	@cp build/kdir/rlvs.ko build/rlvs.ko

endif

install:
	@qemu/install.sh $(KREL)

clean:
	rm -rf build

# --- running -----------------------------------------------------------------

run: all
	@qemu/run --name demo --time 300 python3 /src/qemu/demo.py

shell: all
	@qemu/run --name shell --time 86400 --interactive python3 /src/qemu/demo.py --shell

check:
	@qemu/setup.sh --quiet
	@qemu/check.sh

test: all
	@qemu/kbuild --from tests/guest/module receive modules
	@qemu/kbuild --from stand_in stand_in modules
	@qemu/test.sh $(if $(T),'$(T)')

debug: tool
	@uml/debug.sh $(if $(T),'$(T)')

bench: tool
	@bench/bench.sh $(if $(CASE),'$(CASE)')

oracle: tool
	@tests/oracle/oracle.sh --seed '$(SEED)' --count '$(N)'

oracle-teeth: tool
	@tests/oracle/teeth.sh
