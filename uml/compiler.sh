# SPDX-License-Identifier: GPL-2.0
# How the User-Mode Linux kernels and their modules are compiled; to be sourced by bash.
# shellcheck shell=bash disable=SC2034

# Sets `options` to make's arguments for kernel $1, its configuration and its modules.
compiler() {
	options=(ARCH=um HOSTCC=gcc-14 rlvs-target-um=x86_64-linux-gnu)
	case $1 in
	debug)
		# KASAN for Rust wants clang for C. Modules lie behind the guest's memory, so they need addresses of 64 bits. The
		# kernel itself lies in the first two gigabytes and must not have the large model: its data would come to stand in
		# .lbss, behind _end, and lockdep takes that for memory that was never registered. The warning is about a header
		# that nearly all files have.
		options+=(CC=clang-19 KCFLAGS='-mcmodel=small -Wno-null-pointer-arithmetic'
			CFLAGS_MODULE=-mcmodel=large KRUSTFLAGS=-Crelocation-model=static RUSTFLAGS_MODULE=-Ccode-model=large)
		# The return from a signal must find the stack as the host left it, so no frame pointer stands on it there.
		options+=(CFLAGS_stub.o='-fno-pic -fno-stack-protector -fomit-frame-pointer')
		# KASAN's note of a function that is only there for the start has its address in 32 bits, whatever the model.
		options+=(KASAN_SANITIZE_ip_vs_conn.o=n KASAN_SANITIZE_ip_vs_proto.o=n)
		;;
	*)
		# The module loader takes Rust with absolute addresses only.
		options+=(CC=gcc-14 KRUSTFLAGS='-Crelocation-model=static -Ccode-model=large')
		;;
	esac
}
