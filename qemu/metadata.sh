#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the Rust metadata of the stock kernel, which Debian's header packages lack; run in the root.
#
# usage: metadata.sh RELEASE
#
# The kernel's Rust crates are compiled again from linux-source with the same
# compiler and the same configuration. That gives the same symbols, which is
# checked against what the kernel exports. The results go beside the headers.

set -euo pipefail

release=$1
headers=/usr/src/linux-headers-$release
kbuild=/usr/lib/linux-kbuild-${release%-amd64}
series=$(echo "$release" | cut -d. -f1-2)
work=/var/tmp/rlvs-metadata

die() {
	echo "E: $*" >&2
	exit 1
}

# The part of the source that modules_prepare needs: a seventh of it.
unpack() {
	local s=linux-source-$series
	tar xf "/usr/src/linux-source-$series.tar.xz" --strip-components=1 --wildcards --wildcards-match-slash \
		"$s/Makefile" "$s/Kbuild" '*/Kconfig*' "$s/scripts/*" "$s/include/*" "$s/rust/*" "$s/arch/x86/*" \
		"$s/kernel/bounds.c" "$s/kernel/time/timeconst.bc" "$s/kernel/sched/*" \
		"$s/tools/objtool/*" "$s/tools/lib/*" "$s/tools/include/*" "$s/tools/bpf/resolve_btfids/*" \
		"$s/tools/build/*" "$s/tools/scripts/*" "$s/tools/arch/x86/*" \
		"$s/drivers/*.h" "$s/security/*.h" "$s/kernel/*.h" "$s/fs/*.h" "$s/lib/*.h" "$s/mm/*.h" "$s/drivers/*.rs"
}

# The configuration must come out as it went in: the kernel does not check
# structure layouts when it loads a module.
configure() {
	cp "$headers/.config" "$headers/Module.symvers" "$headers/.kernelvariables" .
	make -s olddefconfig
	diff "$headers/.config" .config || die "the kernel's configuration changes with this root's tools"
}

# Prints the Rust symbols that the crates just compiled export.
built_symbols() {
	sed -n 's/.*(\(_R[A-Za-z0-9_]*\|rust_helper_[a-z0-9_A-Z]*\)).*/\1/p' rust/exports_*_generated.h | sort
}

# Prints the Rust symbols that the stock kernel exports.
kernel_symbols() {
	cut -f2 "$headers/Module.symvers" | grep -E '^(_R|rust_helper_)' | sort
}

rm -rf "$work"
mkdir -p "$work"
cd "$work"
unpack
configure
make -s -j"$(nproc)" modules_prepare
[ "$(cat include/config/kernel.release)" = "$release" ] || die "linux-source is not that of $release"
cmp <(built_symbols) <(kernel_symbols) || die "the Rust symbols differ from those of $release"

mkdir -p "$headers/rust"
cp rust/*.rmeta rust/lib*.so "$headers/rust/"
cp scripts/target.json "$kbuild/scripts/"
cd /
rm -rf "$work"
