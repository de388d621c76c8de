#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the benchmark's User-Mode Linux kernels from the stock kernel's source; run in the root.
#
# usage: kernel.sh DIRECTORY
#
# DIRECTORY/source, and two trees that modules can be built against: DIRECTORY/one for one processor and
# DIRECTORY/two for two. Each takes about six minutes of one core.

set -euo pipefail

trees=$1
project=$(cd "$(dirname "$0")/.." && pwd)
options=(ARCH=um CC=gcc-14 HOSTCC=gcc-14)
# The module loader of User-Mode Linux takes Rust with absolute addresses only.
options+=(KRUSTFLAGS='-Crelocation-model=static -Ccode-model=large')

# Most of what is left out would never be compiled; Kconfig reads its files from everywhere.
unpack() {
	local leave=() pattern
	for pattern in 'Documentation/[a-z]*' 'tools/testing/*' 'tools/perf/*' 'arch/[!ux]*.[chS]' '*.dts' '*.dtsi' \
		'drivers/gpu/*.[ch]' 'drivers/media/*.[ch]' 'drivers/net/*/*.[ch]' 'sound/*.[ch]'; do
		leave+=("--exclude=*/$pattern")
	done
	tar xf /usr/src/linux-source-*.tar.xz --strip-components=1 "${leave[@]}"
}

# Configures tree $1 with option $2 besides; every line of the list must come out as it went in.
configure() {
	local line
	mkdir -p "$1"
	{
		grep -v '^#' "$project/bench/kernel.config"
		echo "$2"
	} > "$1/wanted"
	KCONFIG_ALLCONFIG=$1/wanted make -s "${options[@]}" O="$1" allnoconfig
	grep '=' "$1/wanted" | while read -r line; do
		case $line in
		*=n) ! grep -q "^${line%=n}=" "$1/.config" ;;
		*) grep -qx "$line" "$1/.config" ;;
		esac || { echo "E: the kernel has no $line" >&2; return 1; }
	done
}

rm -rf "$trees"/{source,one,two}
mkdir -p "$trees/source"
cd "$trees/source"
unpack
configure "$trees/one" CONFIG_SMP=n
configure "$trees/two" CONFIG_SMP=y
make -s -j"$(nproc)" "${options[@]}" O="$trees/one" linux modules
make -s -j"$(nproc)" "${options[@]}" O="$trees/two" linux modules
