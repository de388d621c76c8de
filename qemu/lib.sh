# SPDX-License-Identifier: GPL-2.0
# Names and small functions that the scripts of this folder share; to be sourced by bash.
# shellcheck shell=bash disable=SC2034

set -euo pipefail

# The kernel series; the newest 7.3.N that the mirror has is taken.
SERIES=7.3

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${RLVS_CACHE:-${HOME:-/root}/.cache/rlvs}
ROOT=${RLVS_ROOT:-$CACHE/root}
# What setup leaves inside the root: stamps, the kernel's release, the initramfs.
MARKS=$ROOT/.rlvs
# Another flavour of the stock kernel, such as rt, if that is asked for; its marks and results end in this.
FLAVOUR=${FLAVOUR:-}
SUFFIX=${FLAVOUR:+-$FLAVOUR}

# Ends the script with one line of explanation.
die() {
	printf '%s: %s\n' "${ME:-$(basename "$0")}" "$*" >&2
	exit 1
}

# Prints the release of the stock kernel or its flavour, such as 7.3.4+deb13-amd64.
kernel_release() {
	cat "$MARKS/kernel$SUFFIX" 2>/dev/null || die "not set up yet; run 'make setup'"
}

# Holds the cache until the script and its children end: "shared" to use it,
# "exclusive" to change it. Scripts that setup calls have it already.
lock_cache() {
	[ -z "${RLVS_LOCKED:-}" ] || return 0
	mkdir -p "$CACHE"
	exec 9>"$CACHE/lock"
	if ! flock --"$1" --nonblock 9; then
		printf '%s: waiting for another run that uses %s\n' "${ME:-$(basename "$0")}" "$CACHE" >&2
		flock --"$1" 9
	fi
	export RLVS_LOCKED=$1
}

# Prints a key for what is made from the given files.
key_of() {
	cat "$@" | sha256sum | cut -c 1-32
}
