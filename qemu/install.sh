#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the module and the tool with this machine's own compilers and installs them for its kernel.
#
# usage: install.sh RELEASE     DESTDIR and PREFIX (/usr/local) as usual. With STAND_IN=1, also modules by the names of IPVS's, so
#                               that "modprobe ip_vs" and the like load rlvs.

ME=install
. "$(dirname "$0")/lib.sh"

release=$1
prefix=${PREFIX:-/usr/local}
destination=${DESTDIR:-}
tree=/lib/modules/$release/build
out=$PROJECT/build/install-$release

# Prints what this machine lacks for building the module, a line each.
missing() {
	if [ ! -e "$tree/.config" ]; then
		echo "the headers of kernel $release (expected in $tree; Debian: linux-headers-$release)"
		return
	fi
	grep -q '^CONFIG_RUST=y' "$tree/.config" || echo "a kernel with CONFIG_RUST=y; $release was built without Rust"
	[ -e "$tree/rust/libkernel.rmeta" ] ||
		echo "the kernel's Rust metadata ($tree/rust/*.rmeta), which its header package does not carry"
	missing_compiler
	local tool
	for tool in bindgen cargo make; do
		command -v "$tool" >/dev/null || echo "$tool"
	done
}

# Only the compiler that built the kernel gives the symbols that the kernel exports.
missing_compiler() {
	local wanted have
	wanted=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"$/\1/p' "$tree/.config")
	have=$(rustc --version 2>/dev/null) || have=none
	[ -z "$wanted" ] || [ "$have" = "$wanted" ] || echo "the kernel's Rust compiler: $wanted (here: $have)"
}

lacking=$(missing)
if [ -n "$lacking" ]; then
	echo "install: kernel $release cannot take the module yet. It lacks:" >&2
	printf '%s\n' "$lacking" >&2
	echo "Everything can be tried without it: 'make run', 'make shell'." >&2
	exit 1
fi

mkdir -p "$out"
make -C "$tree" M="$PROJECT" MO="$out" modules
cargo build --release --locked --manifest-path "$PROJECT/tools/rlvsadm/Cargo.toml" --target-dir "$out/cargo"

install -D -m 644 "$out/rlvs.ko" "$destination/lib/modules/$release/updates/rlvs.ko"
stand_in=
if [ "${STAND_IN:-}" = 1 ]; then
	mkdir -p "$out-stand-in"
	make -C "$tree" M="$PROJECT/stand_in" MO="$out-stand-in" modules
	install -D -m 644 -t "$destination/lib/modules/$release/updates/rlvs-stand-in" "$out-stand-in"/*.ko
	stand_in=" (and by IPVS's names)"
else
	rm -rf "$destination/lib/modules/$release/updates/rlvs-stand-in"
fi
install -D -m 755 "$out/cargo/release/rlvsadm" "$destination$prefix/sbin/rlvsadm"
install -D -m 644 "$PROJECT/tools/rlvsadm/rlvsadm.8" "$destination$prefix/share/man/man8/rlvsadm.8"
completions=$PROJECT/tools/rlvsadm/completions
install -D -m 644 "$completions/rlvsadm.bash" "$destination$prefix/share/bash-completion/completions/rlvsadm"
install -D -m 644 "$completions/_rlvsadm" "$destination$prefix/share/zsh/site-functions/_rlvsadm"
install -D -m 644 "$completions/rlvsadm.fish" "$destination$prefix/share/fish/vendor_completions.d/rlvsadm.fish"
[ -n "$destination" ] || depmod "$release"
echo "installed for kernel $release: the module rlvs$stand_in, $destination$prefix/sbin/rlvsadm with its completions, rlvsadm(8)"
