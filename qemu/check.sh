#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The checks that run nothing: formatting, lints, warnings, house rules; a line each, then the sum.

ME=check
. "$(dirname "$0")/lib.sh"
cd "$PROJECT"

enter=qemu/enter
passed=0
failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# Runs a command as one check; shows its output only if it fails.
check() {
	local name=$1 begin=$SECONDS
	shift
	if "$@" </dev/null >"$output" 2>&1; then
		echo "ok    $name ($((SECONDS - begin)) s)"
		passed=$((passed + 1))
	else
		echo "FAIL  $name"
		head -n 100 "$output" | sed 's/^/      /'
		failed=$((failed + 1))
	fi
}

# Prints the project's files whose first line matches a pattern.
scripts() {
	find Makefile .ci qemu uml bench tests tools -type f -not -path '*/target/*' -exec awk -v p="$1" \
		'FNR == 1 && $0 ~ p { print FILENAME } { nextfile }' {} +
}

check_syntax() {
	local script
	for script in {qemu,uml}/lib.sh uml/compiler.sh $(scripts '^#!/bin/bash'); do
		bash -n "$script" || return
	done
}

shellcheck_all() {
	# shellcheck disable=SC2046 # file names of ours
	$enter shellcheck -x -P qemu qemu/lib.sh uml/{lib,compiler}.sh $(scripts '^#!/bin/(bash|busybox sh)')
}

compile_python() {
	# shellcheck disable=SC2046 # file names of ours
	$enter env PYTHONPYCACHEPREFIX=/tmp/pycache python3 -W error -m py_compile \
		$(find qemu bench tests tools -name '*.py' -not -path '*/target/*')
}

check "module: formatting" $enter rustfmt --check --edition 2021 rust/rlvs.rs
check "module: no warning in Rust (kernel's clippy) or C" qemu/kbuild clippy CLIPPY=1 W=e modules
for crate in tests/host tools/rlvsadm; do
	check "$crate: formatting" $enter cargo fmt --check --manifest-path $crate/Cargo.toml
	check "$crate: no warning (clippy)" \
		$enter cargo clippy --quiet --locked --all-targets --manifest-path $crate/Cargo.toml -- -D warnings
done
check "house rules: their self-test" $enter python3 tools/houserules.py --self-test
check "house rules" $enter python3 tools/houserules.py
check "shell: syntax" check_syntax
check "shell: shellcheck" shellcheck_all
check "Python: syntax" compile_python

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
