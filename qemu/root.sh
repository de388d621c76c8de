#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the Debian 13 root: the packages of the list, then the newest stock kernel of the series.
#
# usage: root.sh base DIRECTORY      the packages; starts from nothing
#        root.sh kernel DIRECTORY    the kernel; may be repeated after an interruption

ME=root.sh
. "$(dirname "$0")/lib.sh"

SUITE=trixie
target=$2

# Prints the machine's own Debian mirror; nothing if apt knows none.
own_mirror() {
	# shellcheck disable=SC2016 # apt fills it in
	apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		sed -n 's/^Debian \(https\?:.*\)$/\1/p' | sed -n 1p
}

# Prints the packages of the list, separated by commas.
packages() {
	sed 's/#.*//' "$PROJECT/qemu/packages" | xargs | tr ' ' ,
}

# With a mirror, both suites are named; without, the bootstrap tool's own choice
# is extended by the backports of the same mirror.
base() {
	local mirror sources=()
	mirror=$(own_mirror)
	[ -z "$mirror" ] || sources=("deb $mirror $SUITE main")
	# shellcheck disable=SC2016 # mmdebstrap's shell expands it
	unshare --mount mmdebstrap --variant=minbase --skip=cleanup/apt --include="$(packages)" \
		--aptopt='Acquire::Retries "3"' --dpkgopt=force-unsafe-io \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--setup-hook="sed -n 's/ $SUITE main.*/ $SUITE-backports main/p' \"\$1\"/etc/apt/sources.list |
			head -n 1 > \"\$1\"/etc/apt/sources.list.d/backports.list" \
		"$SUITE" "$target" "${sources[@]}"
}

inside() {
	RLVS_ROOT=$target RLVS_ONLINE=1 "$PROJECT/qemu/enter" "$@"
}

# Prints the version of package $1 that apt would install for "N=version"; all of them, newest first.
versions() {
	inside apt-cache madison "$1" | awk '{ print $3 }' | sort -Vru
}

# Prints the newest release of the series for which every needed package is there, and its version.
newest_kernel() {
	local name release version
	inside apt-cache pkgnames "linux-headers-$SERIES." | grep -E '^linux-headers-[0-9.]+\+deb13-amd64$' | sort -Vr |
		while read -r name; do
			release=${name#linux-headers-}
			for version in $(versions "$name"); do
				if versions "linux-source-$SERIES" | grep -Fqx "$version" &&
					versions "linux-binary-unsigned-$release" | grep -Fqx "$version"; then
					echo "$release $version"
					return 0
				fi
			done
		done
}

kernel() {
	local release version
	inside dpkg --configure -a
	inside apt-get update --error-on=any -o Acquire::Retries=3
	read -r release version < <(newest_kernel) || die "E: the mirror has no complete kernel $SERIES.N in $SUITE-backports"
	inside apt-get install -y --no-install-recommends \
		"linux-headers-$release=$version" "linux-binary-unsigned-$release=$version" \
		"linux-modules-$release=$version" "linux-source-$SERIES=$version"
	inside depmod "$release"
	inside apt-get clean
	mkdir -p "$target/.rlvs"
	echo "$release" > "$target/.rlvs/kernel"
}

case $1 in
base)
	rm -rf --one-file-system "$target"
	base
	;;
kernel) kernel ;;
esac
