#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boots a User-Mode Linux kernel; run in the root, which is the guest's root as well.
#
# usage: boot.sh KERNEL MEMORY INIT [ARGUMENT...]     ARGUMENTs are the kernel's.

set -euo pipefail

kernel=$1 memory=$2 init=$3
shift 3

# The guest's memory is a file. In large pages, as the memory of a kernel on a
# real machine is, if the host gives such.
mkdir -p /run/uml
mount -t tmpfs -o "huge=always,size=$memory" uml /run/uml 2>/dev/null ||
	mount -t tmpfs -o "size=$memory" uml /run/uml

# For who wants to watch.
echo $$ > /run/uml.pid

# Several processors need the seccomp way of running user programs; one ignores ncpus.
TMPDIR=/run/uml exec "$kernel" mem="$memory" ncpus=2 seccomp=on \
	root=/dev/root rootfstype=hostfs rootflags=/ rw \
	slab_nomerge con=null con0=null,fd:1 quiet init="$init" "$@" </dev/null
