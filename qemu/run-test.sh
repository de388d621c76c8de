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

expect "the command's output and status come back" 42 '^said so$' bash -c 'echo said so; exit 42'
expect "a warning of the kernel fails the run" 1 'the kernel complained' \
	bash -c 'echo "WARNING: CPU: 0 PID: 1 at planted" > /dev/kmsg'
expect "a panic fails the run" 1 'the kernel complained' bash -c 'echo c > /proc/sysrq-trigger'
expect "a guest that goes off early fails the run" 1 'before its last line' busybox poweroff -f
expect "a guest that hangs fails the run" 1 'not done after 15 s' --time 15 sleep 1000
expect "a kernel that never comes up is tried twice" 1 'once more' --append rdinit=/nowhere true

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
