#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Shows that the oracle has teeth: plants one fault of faults.py after the other in a copy of the module, each of which must be
# found.
#
# usage: teeth.sh [FAULT...]     In the environment: COUNT of drawn scenarios at most (2000), SEED (1).

ME=teeth
# shellcheck source=qemu/lib.sh
. "$(dirname "$0")/../../qemu/lib.sh"
cd "$PROJECT"

faults=tests/oracle/faults.py
copy=build/oracle/teeth
passed=0
failed=0

# Makes the sources with fault $1 in them.
plant() {
	rm -rf "${copy:?}"
	mkdir -p "$copy"
	cp -r Kbuild rust "$copy/"
	"$faults" plant "$1" "$copy"
}

[ $# -gt 0 ] || mapfile -t < <("$faults" list)
[ $# -gt 0 ] || set -- "${MAPFILE[@]}"
for fault; do
	begin=$SECONDS
	if plant "$fault" &&
		! SOURCE=$copy tests/oracle/oracle.sh --until-first --brief --seed "${SEED:-1}" --count "${COUNT:-2000}" > "$copy/log" 2>&1 &&
		by=$(grep -m 1 '^FAIL' "$copy/log"); then
		echo "ok $fault: $by ($((SECONDS - begin)) s)"
		passed=$((passed + 1))
	else
		echo "FAIL $fault was not found"
		tail -n 3 "$copy/log" 2>/dev/null || true
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
