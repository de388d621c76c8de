#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs all tests: checks, host tests, guest tests; the last line is the sum of what passed and failed.
#
# usage: test.sh [PATTERN]     With a pattern, only the guest's test cases that match.

ME=tests
. "$(dirname "$0")/lib.sh"
cd "$PROJECT"

logs=build/test
passed=0
failed=0
mkdir -p "$logs"

# Adds up the numbers before a word in the matching lines of a file.
sum() {
	sed -nE "$1" "$2" | awk '{ n += $1 } END { print n + 0 }'
}

# Runs one part and counts its "N passed, N failed" or "N passed; N failed" lines.
# A part that fails without a failed case, or counts nothing, is a failure itself.
part() {
	local name=$1 status=0 p f
	shift
	echo "--- $name"
	"$@" </dev/null 2>&1 | tee "$logs/$name.log" || status=$?
	p=$(sum 's/.*\b([0-9]+) passed[,;] [0-9]+ failed.*/\1/p' "$logs/$name.log")
	f=$(sum 's/.*[0-9]+ passed[,;] ([0-9]+) failed.*/\1/p' "$logs/$name.log")
	if [ $((p + f)) = 0 ] || { [ $status != 0 ] && [ "$f" = 0 ]; }; then
		f=$((f + 1))
	fi
	passed=$((passed + p))
	failed=$((failed + f))
}

if [ $# = 0 ]; then
	part check qemu/check.sh
	part runner qemu/run-test.sh
	part host qemu/enter cargo test --locked --manifest-path tests/host/Cargo.toml
	part tool qemu/enter cargo test --locked --manifest-path tools/rlvsadm/Cargo.toml
fi
share=()
[ $# != 0 ] || share=(--kernel stock)
part guest qemu/run --name test --time 4800 python3 /src/tests/guest/run.py "${share[@]}" "$@"
# What needs no stock kernel goes faster where the processor's own speed is to be had, and is watched there.
[ $# != 0 ] || LEAKS=no part watched uml/debug.sh --kernel watched

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
