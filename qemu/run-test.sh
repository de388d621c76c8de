#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the runner: it must pass a status on, and notice every way in which a guest can fail.

ME=run-test
. "$(dirname "$0")/lib.sh"
cd "$PROJECT"

passed=0
failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# Runs a guest: the status and a text of the output must be as given.
expect() {
	local name=$1 status=$2 text=$3 got=0 begin=$SECONDS
	shift 3
	qemu/run --name runner "$@" >"$output" 2>&1 || got=$?
	if [ "$got" = "$status" ] && grep -aq "$text" "$output"; then
		echo "ok    $name ($((SECONDS - begin)) s)"
		passed=$((passed + 1))
	else
		echo "FAIL  $name: status $got, not $status, or no '$text' in:"
		sed 's/^/      /' "$output"
		failed=$((failed + 1))
	fi
}

# Whether a line is a complaint, as qemu/run and tests/guest/run.py look for them.
complaint() {
	grep -aqE -f <(grep -v '^#' qemu/splats) <<<"$1" || return
	qemu/enter python3 - "$1" <<-'END'
		import re, sys
		words = [line.rstrip("\n") for line in open("/src/qemu/splats", encoding="ascii") if not line.startswith("#")]
		sys.exit(not re.search("|".join(words), sys.argv[1]))
	END
}

# The line must be a complaint ("yes") or none ("no").
line() {
	local wanted=$1 text=$2 got=no
	! complaint "$text" || got=yes
	if [ $got = "$wanted" ]; then
		echo "ok    a complaint, $wanted: $text"
		passed=$((passed + 1))
	else
		echo "FAIL  a complaint, $wanted: $text"
		failed=$((failed + 1))
	fi
}

line yes 'BUG: KASAN: slab-use-after-free in rlvs_ct_seq+0x12/0x40 [rlvs]'
line yes 'BUG: KASAN: vmalloc-out-of-bounds in _RNvXs_NtCs1_4rlvs+0x3a/0x90 [rlvs]'
line yes 'KASAN: null-ptr-deref in range [0x0000000000000010-0x0000000000000017]'
line yes 'UBSAN: array-index-out-of-bounds in /src/rust/ffi/shim_route.c:20:9'
line yes 'UBSAN: shift-out-of-bounds in net/ipv4/route.c:10:2'
line yes 'WARNING: possible circular locking dependency detected'
line yes 'WARNING: suspicious RCU usage'
line yes 'kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)'
line no 'kasan: KernelAddressSanitizer initialized (generic)'
line no 'kmemleak: Kernel memory leak detector initialized (mem pool available: 31912)'
line no 'rlvs: loading out-of-tree module taints kernel.'

expect "the command's output and status come back" 42 '^said so$' bash -c 'echo said so; exit 42'
expect "a warning of the kernel fails the run" 1 'the kernel complained' \
	bash -c 'echo "WARNING: CPU: 0 PID: 1 at planted" > /dev/kmsg'
# More than a pipe holds.
# shellcheck disable=SC2016 # the guest's shell expands it
expect "a warning with a long log behind it fails the run" 1 'the kernel complained' bash -c '
	echo on > /proc/sys/kernel/printk_devkmsg
	echo "WARNING: CPU: 0 PID: 1 at planted" > /dev/kmsg
	for n in {1..2000}; do echo "line $n of those behind it, which are of no interest to anybody" > /dev/kmsg; done'
expect "a panic fails the run" 1 'the kernel complained' bash -c 'echo c > /proc/sysrq-trigger'
expect "a guest that goes off early fails the run" 1 'before its last line' busybox poweroff -f
expect "a guest that hangs fails the run" 1 'not done after 15 s' --time 15 sleep 1000
expect "a kernel that never comes up is tried twice" 1 'once more' --append rdinit=/nowhere true

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
