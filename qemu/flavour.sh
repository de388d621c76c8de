#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Adds another flavour of the stock kernel, such as rt, to a root that has the stock kernel: same release, same version.
#
# usage: FLAVOUR=NAME flavour.sh
#
# It takes a script of its own, since a change of root.sh makes everybody's root anew.

ME=flavour.sh
. "$(dirname "$0")/lib.sh"

stock=$(cat "$MARKS/kernel")
release=${stock%-amd64}-$FLAVOUR-amd64

inside() {
	RLVS_ONLINE=1 "$PROJECT/qemu/enter" "$@"
}

# shellcheck disable=SC2016 # dpkg-query fills it in
version=$(inside dpkg-query --show --showformat '${Version}' "linux-headers-$stock")
inside dpkg --configure -a
inside apt-get update --error-on=any -o Acquire::Retries=3
inside apt-get install -y --no-install-recommends \
	"linux-headers-$release=$version" "linux-binary-unsigned-$release=$version" "linux-modules-$release=$version"
inside depmod "$release"
inside apt-get clean
# The flavours share this folder; metadata.sh looks for it under the release's name.
ln -sfn "linux-kbuild-${stock%-amd64}" "$ROOT/usr/lib/linux-kbuild-${release%-amd64}"
echo "$release" > "$MARKS/kernel-$FLAVOUR"
