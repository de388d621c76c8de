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
# There are two kernels, built once and kept in the cache; a stamp says what from. "one" is for one processor. "two" is
# for several, as those of distributions are, but under User-Mode Linux such a one makes a system call of the host each
# time that it turns interrupts off or on, which no real machine does: plain forwarding takes ten times as long in it.
# So "one" serves all cases but those that compare two processors, and the main ones are measured in both.

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
case $pattern in cpus* | smp*) kernel=two ;; *) kernel=one ;; esac
memory=${RLVS_BENCH_MEMORY:-6G}
results=$PROJECT/build/bench

# Runs the cases for kernel $1 in it.
measure() {
	module "$1" . "build/bench/$1/rlvs"
	module "$1" bench/gen "build/bench/$1/gen"
	rm -f "$results/$1/"{done,results.json}
	printf '%s\n' "$1" "$pattern" "$system" "$rounds" > "$results/order"
	[ "$watch" != perf ] || record=(perf record -q -e cpu-clock -F 9999 -o "$results/$1/perf.data" --)
	boot "$1" "$memory" /src/bench/init "$results/$1/console.log" | tee "$results/$1/output.log"
	[ -e "$results/$1/done" ] || die "the benchmark did not reach its end; see $results/$1/*.log"
}

# Steps through kernel $1 while it is busy with packets. It has lost signals of its timer then and is of no more use.
step() {
	measure "$1" >"$results/$1/step.log" 2>&1 &
	while ! [ -e "$results/busy" ]; do
		kill -0 $! 2>/dev/null || die "the kernel did not get to the packets; see $results/$1/*.log"
		sleep 0.1
	done
	gdb -nx -q -batch -p "$(cat "$ROOT/run/uml.pid")" -ex "python kallsyms = '$results/$1/kallsyms'" -x bench/step.py \
		2>"$results/$1/gdb.log" | sed -n '/^instructions/,$p'
	kill -KILL "$(cat "$ROOT/run/uml.pid")"
	wait $! || true
}

# Prints what is measured without a kernel, one JSON object a line.
on_the_host() {
	"$PROJECT/qemu/enter" cargo test --release --locked --quiet --manifest-path tests/host/Cargo.toml \
		-- --ignored --nocapture | sed -n 's/.*measured {/{/p'
}

"$PROJECT/qemu/setup.sh" --quiet
mkdir -p "$results"
alone
for name in one two; do
	have_kernel $name
done

rm -f "$results/busy"
if [ "$watch" = gdb ]; then
	step "$kernel"
elif [ "$watch" = perf ]; then
	measure "$kernel"
	perf script -i "$results/$kernel/perf.data" -F comm,ip 2>/dev/null |
		"$PROJECT/qemu/enter" python3 bench/profile.py "build/bench/$kernel/kallsyms"
else
	measure one
	measure two
	on_the_host > "$results/host.jsonl"
	"$PROJECT/qemu/enter" python3 bench/report.py build/bench/host.jsonl build/bench/{one,two}/results.json
fi
