#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Plays scenarios on the kernel's IPVS and on rlvs in User-Mode Linux guests, and compares them.
#
# usage: oracle.sh [ARGUMENT...]     oracle.py's, such as --count 200 --seed 1, or files of scenarios below /src.
#
# In the environment: JOBS=N guests share the drawn scenarios; KERNEL=debug takes the kernel that watches itself, where waits
# take their time; SOURCE=FOLDER of the project has other sources of the module.

ME=oracle
# shellcheck source=qemu/lib.sh
. "$(dirname "$0")/../../qemu/lib.sh"
# shellcheck source=uml/lib.sh
. "$PROJECT/uml/lib.sh"

kernel=${KERNEL:-travel}
jobs=${JOBS:-2}
source=${SOURCE:-.}
results=build/oracle/$kernel${source//[.\/]/-}
words=(time-travel=inf-cpu)
[ "$kernel" = travel ] || words=(kasan_multi_shot)

# Plays part $1 of all in a guest of its own.
play() {
	local folder=$PROJECT/$results/$1
	rm -rf "$folder"
	mkdir -p "$folder"
	printf '%s\n' --kernel "$kernel" --module "/src/$results/rlvs/rlvs.ko" --part "$1/$jobs" --tally "/src/$results/$1/tally.json" "${@:2}" > "$folder/arguments"
	boot "$kernel" 1G /src/tests/oracle/init "$folder/console.log" "oracle=/src/$results/$1" "${words[@]}" > "$folder/output.log"
}

ready "$kernel"
module "$kernel" "$source" "$results/rlvs"
rm -rf "${PROJECT:?}/$results"/[0-9]*
for part in $(seq "$jobs"); do
	play "$part" "$@" &
done
wait
folders=()
for part in $(seq "$jobs"); do
	grep -vE '^[0-9]+ passed, ' "$PROJECT/$results/$part/output.log" || true
	folders+=("/src/$results/$part")
done
# So many scenarios must have drawn everything.
[[ "$*" =~ --count\ ([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 2000 ] && complete=1
"$PROJECT/qemu/enter" python3 tests/oracle/report.py "${complete:-0}" "${folders[@]}"
