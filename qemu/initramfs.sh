#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Packs the guest's initramfs: busybox, qemu/init and the modules that mount the root; run in the root.
#
# usage: initramfs.sh RELEASE OUTPUT

set -euo pipefail

release=$1
output=$2
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

mkdir -p "$tree"/{bin,dev,proc,ro,rw,modules}
cp /bin/busybox "$tree/bin/busybox"
cp /src/qemu/init "$tree/init"

# The modules in the order of loading, each once, unpacked.
modprobe --set-version "$release" --show-depends --all 9pnet_virtio 9p overlay |
	awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
	while read -r path; do
		name=$(basename "$path" .ko.xz)
		xz -dc "$path" > "$tree/modules/$name.ko"
		echo "$name" >> "$tree/modules/order"
	done

(cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) > "$output.new"
mv "$output.new" "$output"
