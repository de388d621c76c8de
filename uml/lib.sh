# SPDX-License-Identifier: GPL-2.0
# Building and booting User-Mode Linux kernels; to be sourced by bash, behind qemu/lib.sh.
# shellcheck shell=bash

. "$PROJECT/uml/compiler.sh"

# Of the host and, bound as /uml, of the root.
trees=$CACHE/uml
# What goes before a command in the root.
record=()

# Waits until no other User-Mode Linux runs: two would disturb each other.
alone() {
	mkdir -p "$trees" "$ROOT/uml"
	exec 8>"$CACHE/uml.lock"
	flock 8
	lock_cache shared
}

# Runs a command in the root, with the kernels in /uml.
inside() {
	# shellcheck disable=SC2016 # the inner shell expands it
	"${record[@]}" unshare --mount bash -c 'mount --bind "$1" "$2" && shift 2 && exec "$@"' inside \
		"$trees" "$ROOT/uml" "$PROJECT/qemu/enter" "$@"
}

# Prints the versions of the packages that the kernels are made from and with.
tools() {
	awk '/^Package: / { name = $2 } /^Version: / && name ~ /^(rustc|gcc-14|clang-19|linux-source-.*)$/ { print name, $2 }' \
		"$ROOT/var/lib/dpkg/status"
}

kernel_key() {
	key_of "$PROJECT"/uml/{compiler.sh,trace.c,kernel.{config,sh,"$1"}} <(tools)
}

# Whether kernel $1 is there as the project has it by now.
is_fresh() {
	[ "$(cat "$trees/$1.key" 2>/dev/null)" = "$(kernel_key "$1")" ]
}

# Builds kernel $1 unless it is there. The stamp is written last; an interrupted build starts over.
have_kernel() {
	local stamp=$trees/$1.key log=$CACHE/uml-$1.log
	! is_fresh "$1" || return 0
	echo "$ME: building the User-Mode Linux kernel '$1', once; the output is in $log"
	rm -f "$stamp"
	inside nice /src/uml/kernel.sh /uml "$1" >"$log" 2>&1 || die "the kernel did not build; see $log"
	kernel_key "$1" > "$stamp"
}

# Has kernel $1, built if need be, one at a time. From here on others that only boot and test may run beside this; those that
# measure wait still.
ready() {
	mkdir -p "$trees" "$ROOT/uml"
	exec 8>"$CACHE/uml.lock"
	flock --shared 8
	lock_cache shared
	is_fresh "$1" && return
	# What somebody may be running is replaced when nobody does.
	[ ! -e "$trees/$1.key" ] || alone
	exec 7>"$CACHE/uml-build.lock"
	flock 7
	have_kernel "$1"
	exec 7>&-
	flock --shared 8
}

# Builds the module in folder $2 of the project for kernel $1, into folder $3 of the project.
module() {
	local options
	compiler "$1"
	mkdir -p "$PROJECT/$3"
	inside make -s -C "/uml/$1" "${options[@]}" M="/src/$2" MO="/src/$3" modules
}

# Boots kernel $1 with memory $2 and init $3; what the guest says comes out, the console goes to $4. All else is for the
# kernel. Two hours end a hang.
boot() {
	local record=(timeout --kill-after=5 7200 "${record[@]}")
	inside /src/uml/boot.sh "/uml/$1/linux" "${@:2:2}" "${@:5}" 2>"$4" | sed -u 's/\r$//'
}
