#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Measures rlvs against the kernel's own ways of forwarding, in User-Mode Linux.
#
# usage: bench.sh [--profile SYSTEM | --step SYSTEM] [PATTERN]
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
case $pattern in cpus* | smp*) kernel=two ;; *) kernel=one ;; esac
memory=${RLVS_BENCH_MEMORY:-6G}
# Of the host and, bound as /uml, of the root.
trees=$CACHE/uml
results=$PROJECT/build/bench
# What goes before a command in the root.
record=()
options=(ARCH=um CC=gcc-14 KRUSTFLAGS='-Crelocation-model=static -Ccode-model=large' rlvs-target-um=x86_64-linux-gnu)

# Runs a command in the root, with the kernels in /uml.
inside() {
	# shellcheck disable=SC2016 # the inner shell expands it
	"${record[@]}" unshare --mount bash -c 'mount --bind "$1" "$2" && shift 2 && exec "$@"' inside \
		"$trees" "$ROOT/uml" "$PROJECT/qemu/enter" "$@"
}

# Prints the versions of the packages that the kernels are made from and with.
tools() {
	awk '/^Package: / { name = $2 } /^Version: / && name ~ /^(rustc|gcc-14|linux-source-.*)$/ { print name, $2 }' \
		"$ROOT/var/lib/dpkg/status"
}

kernel_key() {
	key_of "$PROJECT"/bench/kernel.{config,sh} <(tools)
}

# The stamp is written last; an interrupted build starts over.
kernels() {
	local stamp=$trees/key
	[ "$(cat "$stamp" 2>/dev/null)" != "$(kernel_key)" ] || return 0
	echo "bench: building the User-Mode Linux kernels, once; the output is in $CACHE/bench.log"
	rm -f "$stamp"
	inside nice /src/bench/kernel.sh /uml >"$CACHE/bench.log" 2>&1 ||
		die "the kernels did not build; see $CACHE/bench.log"
	kernel_key > "$stamp"
}

# Builds the module in folder $2, as the root sees it, for kernel $1, into build/bench/$1/$3.
module() {
	mkdir -p "$results/$1/$3"
	inside make -s -C "/uml/$1" "${options[@]}" M="$2" MO="/src/build/bench/$1/$3" modules
}

# Boots kernel $1; only what the guest says comes out.
boot() {
	[ "$watch" != perf ] || record=(perf record -q -e cpu-clock -F 9999 -o "$results/$1/perf.data" --)
	inside /src/bench/boot.sh "/uml/$1/linux" "$memory" 2>"$results/$1/console.log" | sed -u 's/\r$//'
}

# Runs the cases for kernel $1 in it.
measure() {
	module "$1" /src rlvs
	module "$1" /src/bench/gen gen
	rm -f "$results/$1/"{done,results.json}
	printf '%s\n' "$1" "$pattern" "$system" "$rounds" > "$results/order"
	boot "$1" | tee "$results/$1/output.log"
	[ -e "$results/$1/done" ] || die "the benchmark did not reach its end; see $results/$1/*.log"
}

# Steps through kernel $1 while it is busy with packets. It has lost signals of its timer then and is of no more use.
step() {
	measure "$1" >"$results/$1/step.log" 2>&1 &
	while ! [ -e "$results/busy" ]; do
		kill -0 $! 2>/dev/null || die "the kernel did not get to the packets; see $results/$1/*.log"
		sleep 0.1
	done
	gdb -nx -q -batch -p "$(cat "$results/pid")" -ex "python kallsyms = '$results/$1/kallsyms'" -x bench/step.py \
		2>"$results/$1/gdb.log" | sed -n '/^instructions/,$p'
	kill -KILL "$(cat "$results/pid")"
	wait $! || true
}

# Prints what is measured without a kernel, one JSON object a line.
on_the_host() {
	"$PROJECT/qemu/enter" cargo test --release --locked --quiet --manifest-path tests/host/Cargo.toml \
		-- --ignored --nocapture | sed -n 's/.*measured {/{/p'
}

"$PROJECT/qemu/setup.sh" --quiet
mkdir -p "$results" "$trees" "$ROOT/uml"
# One at a time: two would measure each other.
exec 8>"$CACHE/bench.lock"
flock 8
lock_cache shared
kernels

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
