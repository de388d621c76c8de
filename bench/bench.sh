#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Measures rlvs against the kernel's own ways of forwarding, in User-Mode Linux.
#
# usage: bench.sh [--profile SYSTEM | --step SYSTEM] [PATTERN]
#
# A PATTERN that begins with 'count' is for count.sh: instructions on the stock kernel, not time.
#
# PATTERN chooses cases by name, such as 'hot/nat'. With --profile only SYSTEM gets packets, and perf, which has to be
# installed, says in which functions the time went. With --step gdb does, and says which instructions and cache lines
# a packet of the first of the cases takes.
#
# The kernel is for one processor: one for several makes a system call of the host each time that it turns interrupts off
# or on, which no real machine does. It is built once and kept in the cache; a stamp says what from.

ME=bench
. "$(dirname "$0")/../qemu/lib.sh"
. "$PROJECT/uml/lib.sh"

# How SYSTEM is watched, if it is.
watch=
system=
rounds=0
case ${1:-} in
	--profile) watch=perf rounds=100 ;;
	--step) watch=gdb rounds=1000000 ;;
esac
if [ -n "$watch" ]; then
	command -v $watch >/dev/null || die "$1 needs $watch"
	system=${2:?which system?}
	shift 2
fi
pattern=${1:-*}
case $pattern in count*) exec "$PROJECT/bench/count.sh" "$pattern" ;; esac
kernel=one
memory=${RLVS_BENCH_MEMORY:-6G}
results=$PROJECT/build/bench

# Runs the cases.
measure() {
	module $kernel . build/bench/$kernel/rlvs
	module $kernel bench/gen build/bench/$kernel/gen
	rm -f "$results/$kernel/"{done,results.json}
	printf '%s\n' "$pattern" "$system" "$rounds" > "$results/order"
	[ "$watch" != perf ] || record=(perf record -q -e cpu-clock -F 9999 -o "$results/$kernel/perf.data" --)
	boot $kernel "$memory" /src/bench/init "$results/$kernel/console.log" | tee "$results/$kernel/output.log"
	[ -e "$results/$kernel/done" ] || die "the benchmark did not reach its end; see $results/$kernel/*.log"
}

# Steps through the kernel while it is busy with packets. It has lost signals of its timer then and is of no more use.
step() {
	measure >"$results/$kernel/step.log" 2>&1 &
	while ! [ -e "$results/busy" ]; do
		kill -0 $! 2>/dev/null || die "the kernel did not get to the packets; see $results/$kernel/*.log"
		sleep 0.1
	done
	gdb -nx -q -batch -p "$(cat "$ROOT/run/uml.pid")" -ex "python kallsyms = '$results/$kernel/kallsyms'" -x bench/step.py \
		2>"$results/$kernel/gdb.log" | sed -n '/^instructions/,$p'
	kill -KILL "$(cat "$ROOT/run/uml.pid")"
	wait $! || true
}

# Prints what is measured without a kernel, one JSON object a line.
on_the_host() {
	"$PROJECT/qemu/enter" cargo test --release --locked --quiet --manifest-path tests/host/Cargo.toml \
		-- --ignored --nocapture | sed -n 's/.*measured {/{/p'
}

"$PROJECT/qemu/setup.sh" --quiet
mkdir -p "$results/$kernel"
alone
have_kernel $kernel

rm -f "$results/busy"
if [ "$watch" = gdb ]; then
	step
elif [ "$watch" = perf ]; then
	measure
	perf script -i "$results/$kernel/perf.data" -F comm,ip 2>/dev/null |
		"$PROJECT/qemu/enter" python3 bench/profile.py "build/bench/$kernel/kallsyms"
else
	measure
	on_the_host > "$results/host.jsonl"
	"$PROJECT/qemu/enter" python3 bench/report.py build/bench/host.jsonl "build/bench/$kernel/results.json"
fi
