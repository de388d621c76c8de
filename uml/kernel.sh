#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes a User-Mode Linux kernel from the stock kernel's source; run in the root.
#
# usage: kernel.sh DIRECTORY NAME
#
# DIRECTORY/source, and DIRECTORY/NAME, which modules can be built against; uml/kernel.NAME says what is special about
# it. A kernel takes about six minutes of one core.

set -euo pipefail

trees=$1 name=$2
project=$(cd "$(dirname "$0")/.." && pwd)
. "$project/uml/compiler.sh"
compiler "$name"

# Most of what is left out would never be compiled; Kconfig reads its files from everywhere.
unpack() {
	local leave=() pattern
	for pattern in 'Documentation/[a-z]*' 'tools/testing/*' 'tools/perf/*' 'arch/[!ux]*.[chS]' '*.dts' '*.dtsi' \
		'drivers/gpu/*.[ch]' 'drivers/media/*.[ch]' 'drivers/net/ethernet/*.[ch]' 'drivers/net/wireless/*.[ch]' \
		'sound/*.[ch]'; do
		leave+=("--exclude=*/$pattern")
	done
	mkdir -p "$1"
	tar xf /usr/src/linux-source-*.tar.xz --directory="$1" --strip-components=1 "${leave[@]}"
	quick_traces "$1/arch/um/kernel/stacktrace.c"
	no_flush "$1/mm/kasan/shadow.c"
}

# User-Mode Linux has no TLB to flush for KASAN's shadow, and clears the shadow instead, of all that lies between the first and
# the last area of a list: terabytes where one of them is per-processor memory, and the host's memory is gone.
no_flush() {
	local clear='__memset(shadow_start, KASAN_SHADOW_INIT, shadow_end - shadow_start);'
	sed -i "/^void __kasan_release_vmalloc/,/^}/s/$clear/if (flags \\& KASAN_VMALLOC_PAGE_RANGE)\n\t\t\t\t&/" "$1"
	grep -A 1 'if (flags & KASAN_VMALLOC_PAGE_RANGE)$' "$1" | grep -q -F "$clear"
}

# Puts uml/trace.c where it belongs in file $1.
quick_traces() {
	{
		sed '/^static void save_addr/,$d' "$1"
		cat "$project/uml/trace.c"
		sed -n '/^void save_stack_trace(/,$p' "$1"
	} > "$1.new"
	mv "$1.new" "$1"
}

# The source, once for all kernels; $1 is where, the package's versions are what it is made from.
source_tree() {
	local version
	# What is left out is decided here, so this script counts too.
	version=$(dpkg-query --show 'linux-source-*')$(cat "$project"/uml/{kernel.sh,trace.c} | cksum)
	[ "$(cat "$1.key" 2>/dev/null)" != "$version" ] || return 0
	rm -rf "$1" "$1.key"
	unpack "$1"
	echo "$version" > "$1.key"
}

# Configures tree $1; every line of the lists must come out as it went in.
configure() {
	local line
	mkdir -p "$1"
	cat "$project/uml/kernel.config" "$project/uml/kernel.$name" | grep -v '^#' > "$1/wanted"
	KCONFIG_ALLCONFIG=$1/wanted make -s "${options[@]}" O="$1" allnoconfig
	grep '=' "$1/wanted" | while read -r line; do
		case $line in
		*=n) ! grep -q "^${line%=n}=" "$1/.config" ;;
		*) grep -qx "$line" "$1/.config" ;;
		esac || { echo "E: the kernel has no $line" >&2; return 1; }
	done
}

source_tree "$trees/source"
rm -rf "${trees:?}/$name"
cd "$trees/source"
configure "$trees/$name"
make -s -j"$(nproc)" "${options[@]}" O="$trees/$name" linux modules
