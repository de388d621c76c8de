#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boots the User-Mode Linux kernel; run in the root, which is the guest's root as well.
#
# usage: boot.sh KERNEL MEMORY

set -euo pipefail

kernel=$1 memory=$2

# The guest's memory is a file. In large pages, as the memory of a kernel on a
# real machine is, if the host gives such.
mkdir -p /run/bench
mount -t tmpfs -o "huge=always,size=$memory" bench /run/bench 2>/dev/null ||
	mount -t tmpfs -o "size=$memory" bench /run/bench

# For who wants to watch.
echo $$ > /src/build/bench/pid

# Several processors need the seccomp way of running user programs; one ignores ncpus.
TMPDIR=/run/bench exec "$kernel" mem="$memory" ncpus=2 seccomp=on \
	root=/dev/root rootfstype=hostfs rootflags=/ rw \
	slab_nomerge con=null con0=null,fd:1 quiet init=/src/bench/init </dev/null
