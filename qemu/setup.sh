#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Brings the machine to where everything else works: host packages, Debian root, kernel, downloads.
#
# usage: setup.sh [--quiet]     REFRESH=1 makes the root anew, with the newest kernel.
#                               FLAVOUR=rt adds that flavour of the kernel.
#
# Every step has a stamp, keyed by what the step is made from and written last,
# so an interrupted setup is taken up again where it stopped.

ME=setup
. "$(dirname "$0")/lib.sh"

LOG=$CACHE/setup.log
part=$CACHE/root.part

# Runs a command as one step: a line with its name and its time, its output to the log.
step() {
	local name=$1 start=$SECONDS
	shift
	printf 'setup: %-52s ' "$name"
	if "$@" </dev/null >"$LOG" 2>&1; then
		printf '%4d s\n' $((SECONDS - start))
	else
		printf 'failed\n'
		die "$name: $(reason). Run 'make setup' again to retry; the whole output is in $LOG"
	fi
}

# The line of the log that says best why a step failed: what could not be
# fetched, or else the first error.
reason() {
	local pattern
	for pattern in '[EW]: Failed to fetch' '\bE: ' '\berror: ' .; do
		grep -aE -m 1 "$pattern" "$LOG" | sed -E 's/^.*\b[EW]: //' && return
	done
}

# Whether stamp $1 has the key $2.
stamped() {
	[ "$(cat "$1" 2>/dev/null)" = "$2" ]
}

# Prints the host packages that are missing.
missing_host_packages() {
	command -v qemu-system-x86_64 >/dev/null || echo qemu-system-x86
	command -v mmdebstrap >/dev/null || echo mmdebstrap
	# Older keyrings of Debian 12 do not know Debian 13's keys.
	ls /usr/share/keyrings/debian-archive-trixie-* /etc/apt/trusted.gpg.d/debian-archive-trixie-* \
		>/dev/null 2>&1 || echo debian-archive-keyring
}

install_host_packages() {
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y --no-install-recommends "$@" && return
	apt-get update
	apt-get install -y --no-install-recommends "$@"
}

# The mirror is found through apt's lists; a fresh machine may have none.
know_mirror() {
	# shellcheck disable=SC2016 # apt fills it in
	apt-get indextargets --format '$(LABEL)' 'Created-By: Packages' 2>/dev/null | grep -qx Debian
}

host_packages() {
	local missing
	missing=$(missing_host_packages | xargs)
	[ -z "$missing" ] || command -v apt-get >/dev/null || die "install these first: $missing"
	# shellcheck disable=SC2086 # a list of words
	[ -z "$missing" ] || step "host packages: $missing" install_host_packages $missing
}

# What each step is made from.
root_key() { key_of "$PROJECT"/qemu/{packages,root.sh}; }
metadata_key() { key_of "$PROJECT/qemu/metadata.sh"; }
initramfs_key() { key_of "$PROJECT"/qemu/{initramfs.sh,init}; }
flavour_key() { key_of "$PROJECT"/qemu/flavour.sh; }
crates_key() { key_of <(crate_locks | xargs -r cat); }

crate_locks() {
	ls "$PROJECT"/{tests/host,tools/rlvsadm}/Cargo.lock 2>/dev/null || true
}

complete() {
	stamped "$MARKS/base" "$(root_key)" &&
		{ [ -z "$FLAVOUR" ] || stamped "$MARKS/flavour$SUFFIX" "$(flavour_key)"; } &&
		stamped "$MARKS/metadata$SUFFIX" "$(metadata_key)" &&
		stamped "$MARKS/initramfs$SUFFIX" "$(initramfs_key)" &&
		stamped "$CACHE/crates" "$(crates_key)"
}

swap_root() {
	rm -rf --one-file-system "$CACHE/root.old"
	[ ! -e "$ROOT" ] || mv "$ROOT" "$CACHE/root.old"
	mv "$part" "$ROOT"
	rm -rf --one-file-system "$CACHE/root.old"
}

# Packages that were interrupted start over; the kernel's are taken up again.
# The root appears under its name only when both are in it.
root() {
	know_mirror || ! command -v apt-get >/dev/null || step "package lists" apt-get update
	if [ -n "${REFRESH:-}" ] || ! stamped "$part/.rlvs/base" "$(root_key)"; then
		step "Debian root: packages" "$PROJECT/qemu/root.sh" base "$part"
		mkdir -p "$part/.rlvs"
		root_key > "$part/.rlvs/base"
	fi
	step "Debian root: newest kernel $SERIES.N" "$PROJECT/qemu/root.sh" kernel "$part"
	swap_root
}

# Its packages go into the root as it is; other than the root's they are taken up again if interrupted.
flavour() {
	rm -f "$MARKS"/{flavour,metadata,initramfs}"$SUFFIX"
	step "the kernel's flavour $FLAVOUR" "$PROJECT/qemu/flavour.sh"
	flavour_key > "$MARKS/flavour$SUFFIX"
}

metadata() {
	rm -f "$MARKS/metadata$SUFFIX"
	step "Rust metadata of $(kernel_release)" \
		"$PROJECT/qemu/enter" /src/qemu/metadata.sh "$(kernel_release)"
	metadata_key > "$MARKS/metadata$SUFFIX"
}

initramfs() {
	step "initramfs" "$PROJECT/qemu/enter" /src/qemu/initramfs.sh "$(kernel_release)" "/.rlvs/initramfs$SUFFIX.img"
	initramfs_key > "$MARKS/initramfs$SUFFIX"
}

fetch_crates() {
	local lock
	for lock in $(crate_locks); do
		lock=/src/${lock#"$PROJECT"/}
		RLVS_ONLINE=1 "$PROJECT/qemu/enter" cargo fetch --locked --manifest-path "${lock%.lock}.toml" || return
	done
}

crates() {
	step "crates of the tool and the tests" fetch_crates
	crates_key > "$CACHE/crates"
}

[ "$(uname -m)" = x86_64 ] || die "works on x86_64 only"
if [ -z "${REFRESH:-}" ] && [ -z "$(missing_host_packages)" ] && complete; then
	[ "${1:-}" = --quiet ] || echo "setup: nothing to do; kernel $(kernel_release), root $ROOT"
	exit 0
fi
[ "$(id -u)" = 0 ] || die "needs root: it installs packages and makes a root file system"
lock_cache exclusive
start=$SECONDS
host_packages
if [ -n "${REFRESH:-}" ] || ! stamped "$MARKS/base" "$(root_key)"; then root; fi
[ -z "$FLAVOUR" ] || stamped "$MARKS/flavour$SUFFIX" "$(flavour_key)" || flavour
stamped "$MARKS/metadata$SUFFIX" "$(metadata_key)" || metadata
stamped "$MARKS/initramfs$SUFFIX" "$(initramfs_key)" || initramfs
stamped "$CACHE/crates" "$(crates_key)" || crates
echo "setup: ready in $((SECONDS - start)) s; kernel $(kernel_release), root $ROOT"
