#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs all tests: checks, host tests, guest tests; the last line is the sum of what passed and failed.
#
# usage: test.sh [PATTERN]     With a pattern, only the guest's test cases that match. APPEND in the environment is for the
#                              stock kernel's command line, such as preempt=full. With FLAVOUR=rt only the guest's cases
#                              run, on that flavour of the kernel.
#
# What runs in guests runs at the same time; the output comes part by part, and is in build/test/PART.log.

ME=tests
. "$(dirname "$0")/lib.sh"
cd "$PROJECT"

logs=build/test
passed=0
failed=0
parts=()
declare -A process
rm -rf "$logs"
mkdir -p "$logs"

# Adds up the numbers before a word in the matching lines of a file.
sum() {
	sed -nE "$1" "$2" | awk '{ n += $1 } END { print n + 0 }'
}

# Ends a process and all that it started.
end_tree() {
	local child children=()
	{ read -r -a children < "/proc/$1/task/$1/children"; } 2>/dev/null || true
	for child in "${children[@]}"; do
		end_tree "$child"
	done
	kill "$1" 2>/dev/null || true
}

# Whoever interrupts this ends the parts as well.
end_parts() {
	local name
	for name in "${!process[@]}"; do
		end_tree "${process[$name]}"
	done
}
trap end_parts EXIT
trap 'exit 130' INT TERM

# Starts one part; its output goes to its log.
begin() {
	local name=$1
	shift
	parts+=("$name")
	: > "$logs/$name.log"
	"$@" </dev/null >>"$logs/$name.log" 2>&1 &
	process[$name]=$!
}

# Shows a part's output until it ends, and counts its "N passed, N failed" or "N passed; N failed" lines.
# A part that fails without a failed case, or counts nothing, is a failure itself.
finish() {
	local name=$1 status=0 p f
	echo "--- $name"
	# In the background: bash heeds a signal while it waits for a child, not while one runs in front.
	tail -n +1 -s 0.2 -f --pid="${process[$name]}" "$logs/$name.log" &
	wait $! || true
	wait "${process[$name]}" || status=$?
	unset "process[$name]"
	p=$(sum 's/.*\b([0-9]+) passed[,;] [0-9]+ failed.*/\1/p' "$logs/$name.log")
	f=$(sum 's/.*[0-9]+ passed[,;] ([0-9]+) failed.*/\1/p' "$logs/$name.log")
	if [ $((p + f)) = 0 ] || { [ $status != 0 ] && [ "$f" = 0 ]; }; then
		f=$((f + 1))
	fi
	passed=$((passed + p))
	failed=$((failed + f))
}

part() {
	begin "$@"
	finish "$1"
}

guest() {
	local name=$1
	shift
	begin "$name" qemu/run --name "$name" --time 4800 --append "${APPEND:-}" python3 /src/tests/guest/run.py "$@"
}

# Prints where the modules for the kernel's flavour are; nothing if it is none, since that is the default.
modules() {
	[ -z "$FLAVOUR" ] || echo "--module /src/build/rlvs$SUFFIX.ko --receive /src/build/receive$SUFFIX/rlvs_receive.ko"
}

# Prints the lines of all parts that a sed script makes something of; in it, PART is the part's name.
pick() {
	local name
	for name in "${parts[@]}"; do
		sed -nE "${1//PART/$name}" "$logs/$name.log"
	done
}

if [ $# = 0 ] && [ -z "$FLAVOUR" ]; then
	part check qemu/check.sh
	part host qemu/enter cargo test --locked --manifest-path tests/host/Cargo.toml
	part tool qemu/enter cargo test --locked --manifest-path tools/rlvsadm/Cargo.toml
	# Two guests, each with half of the stock kernel's cases. What needs no stock kernel goes faster where the
	# processor's own speed is to be had, and is watched there.
	guest guest --kernel stock --half 1
	guest guest2 --kernel stock --half 2
	LEAKS=no begin watched uml/debug.sh --kernel watched
	begin runner qemu/run-test.sh
	for name in guest guest2 watched runner; do
		finish "$name"
	done
else
	[ $# -gt 0 ] || set -- --kernel stock
	# shellcheck disable=SC2046 # a list of words
	guest "guest$SUFFIX" $(modules) "$@"
	finish "guest$SUFFIX"
fi

echo "--- slowest"
pick 's/^ok +(.*) \(([0-9.]+) s\)$/\2 s  PART: \1/p; s/^FAIL ([^ ]+): .*, ([0-9.]+) s\)$/\2 s  PART: \1/p' | sort -rn | sed -n 1,10p
pick 's/^(asked again: .*)/PART: \1/p'
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
