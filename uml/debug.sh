#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs guest tests in a User-Mode Linux kernel that watches itself: locks, RCU, sleeping, leaks, and every access to
# memory, of Rust as of C.
#
# usage: debug.sh [PATTERN]     With LEAKS=no in the environment, half a minute sooner: nobody looks for leaks.
#
# The stock kernel says nothing when a lock is taken in the wrong order, when a route is used outside of its read-side
# section, or when memory is read that is free; this one does, and a case fails then, as with all that qemu/splats has.
# It is no replacement for `make test`: User-Mode Linux is not the machine that users have.

ME=debug
. "$(dirname "$0")/../qemu/lib.sh"
. "$PROJECT/uml/lib.sh"

results=$PROJECT/build/debug
mkdir -p "$results"
ready debug
module debug . build/debug/rlvs
module debug tests/guest/module build/debug/receive
module debug tests/guest/faults build/debug/faults
inside python3 /src/tests/guest/faults/sites.py /src/build/debug/rlvs/rlvs.ko /src/build/debug/faults
rm -f "$results/status"
printf '%s\n' "${LEAKS:-yes}" > "$results/leaks"
{ [ $# = 0 ] || printf '%s\n' "$@"; } > "$results/patterns"
# KASAN shuts up after its first report unless told otherwise.
boot debug 4G /src/uml/debug-init "$results/console.log" kasan_multi_shot | tee "$results/output.log"
status=$(cat "$results/status" 2>/dev/null) || die "the guest did not reach its end; see $results/console.log"
exit "$status"
