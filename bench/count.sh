#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Counts instructions a packet on the stock kernel in QEMU, which comes to the same on every machine.
#
# usage: count.sh [--keep] [PATTERN]            rows by name, such as 'count-request/nat'; --keep: the committed numbers
#        count.sh --functions ROW SYSTEM        in which functions they are; ROW without 'count-', SYSTEM ipvs, rlvs, rlvs-late

ME=count
. "$(dirname "$0")/../qemu/lib.sh"
cd "$PROJECT"

keep=()
if [ "${1:-}" = --keep ]; then
	keep=(--keep)
	shift
fi
make --no-print-directory all
qemu/kbuild --from bench/gen gen modules
if [ "${1:-}" = --functions ]; then
	results=build/guest/functions
	rm -rf "$results"
	qemu/run --count --monitor --name functions --time 900 python3 /src/bench/functions.py guest "$2" "$3" &
	guest=$!
	qemu/enter python3 bench/functions.py host "$results" "$PROJECT/$results/log" &
	wait $guest || { kill $!; die "the guest failed"; }
	wait $!
	rm -f "$results/log"
else
	qemu/run --count --name count --time 1800 python3 /src/bench/count.py "${1:-count}"
	qemu/enter python3 bench/count_report.py build/guest/count/counts.json "${keep[@]}"
fi
