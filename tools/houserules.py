#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Holds the sources to the house rules: who may use whom, where `unsafe` may stand, how files begin.

usage: houserules.py [--self-test] [FOLDER]

Prints one line for each place that breaks a rule, and ends with 1 if there was any.
The self-test plants one breach of each rule in a copy and must see every one reported.
"""

import pathlib
import re
import shutil
import sys
import tempfile

LONGEST_FILE = 600
SKIPPED = {".git", "build", "target", "__pycache__"}
SOURCES = {".rs", ".c", ".h", ".py", ".sh"}

# The rooms of rust/, folders and files, from the ground up: each may use those before it. A new room stands where its
# arrows go down.
ROOMS = [
    "ffi", "hash", "pool", "wire", "proto", "expiry", "packet", "engine", "sched", "rates", "sys", "config", "service",
    "flow", "forward", "director", "datapath", "control", "rlvs",
]
UNSAFE_FOLDERS = {"ffi", "sys"}
PURE_FOLDERS = {"hash", "pool", "wire", "proto", "expiry", "packet", "engine", "sched", "rates"}
# What a room must not use though it stands below.
MUST_NOT_USE = {
    "flow": {"wire"},
    "forward": {"wire"},
    "datapath": {"wire"},
    "control": {"packet", "forward", "datapath"},
}

# The numbers of the wire are everyone's; its messages are for control alone.
NUMBERS = "wire::uapi"

UNSAFE_FN = re.compile(r'\bunsafe (extern "C" )?fn \w')
UNSAFE_USE = re.compile(r"\bunsafe (\{|impl\b)|\bunsafe$")
PANIC = re.compile(r"\.(unwrap|expect)\(|\b(panic|todo|unimplemented|unreachable)!")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
MIRROR = re.compile(r"\b(deb|ftp|cdn|mirrors?|snapshot|security|archive|apt)[\w.-]*\.(debian|ubuntu)\.\w+|\bcrates\.io\b")


def files_below(root):
    """Every text file of the project, with its lines."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not SKIPPED & set(path.relative_to(root).parts):
            try:
                yield path.relative_to(root), path.read_text(encoding="utf-8").splitlines()
            except UnicodeDecodeError:
                continue


def is_source(path, lines):
    """Whether the file is code, by its name or its first line."""
    return path.suffix in SOURCES or path.name in ("Makefile", "Kbuild") or bool(lines) and lines[0].startswith("#!")


def is_comment(line):
    return line.lstrip().startswith(("//", "/*", "*", "#", '"""'))


def without_strings(line):
    """The code of a line: no comment, no text of string literals."""
    line = re.sub(r'"(\\.|[^"\\])*"', '"C"' if 'extern "C"' in line else '""', line)
    return re.sub(r"//.*", "", line).rstrip()


def tests_start(lines):
    """The number of the line where a Rust file's test module begins; it is the file's end."""
    text = "\n".join(lines)
    match = re.search(r"^#\[cfg\((any\()?test\b.*\n(#\[.*\n)*mod \w+ \{", text, re.M)
    return text.count("\n", 0, match.start()) if match else len(lines)


def is_test(path, root):
    """Whether a Rust file is compiled into tests only, as the `mod` line for it says."""
    parent = root / path.parent / "mod.rs"
    declared = rf"#\[cfg\(test\)\]\s*(pub\(crate\) )?mod {path.stem};"
    return parent.exists() and re.search(declared, parent.read_text(encoding="utf-8")) is not None


# --- how a file begins, and how long it is ------------------------------------


def check_beginning(path, lines):
    if not is_source(path, lines):
        return
    first = 1 if lines and lines[0].startswith("#!") else 0
    head = lines[first:first + 4] + [""] * 4
    if "SPDX-License-Identifier: GPL-2.0" not in head[0]:
        yield first, "does not begin with its SPDX line"
        return
    marks = ("//!",) if path.suffix == ".rs" else ("//", "/*", "#", '"""', " *")
    sentence = next((line for line in head[1:] if line.strip(" /*#!\"")), "")
    if not sentence.startswith(marks):
        yield first + 1, "does not say in a sentence what the file is"


def check_length(path, lines):
    if is_source(path, lines) and len(lines) >= LONGEST_FILE:
        yield len(lines) - 1, f"has {len(lines)} lines; {LONGEST_FILE - 1} is the limit"


def check_words(path, lines):
    for number, line in enumerate(lines):
        if is_source(path, lines) and UNFINISHED.search(line):
            yield number, "leaves something unfinished"
        if path.name != "Cargo.lock" and MIRROR.search(line):
            yield number, "names a package mirror or registry"


# --- unsafe ------------------------------------------------------------------


def comment_above(lines, number):
    """The comment that belongs to the statement or item of a line."""
    comment = []
    for line in reversed(lines[:number]):
        text = line.strip()
        if text.startswith("//"):
            comment.append(text)
        elif comment or not text or (not text.startswith("#[") and text[-1] in ";{}"):
            break
    return "\n".join(comment)


def in_trait_impl(lines, number):
    """Whether a function implements a trait, which documents its safety."""
    depth = len(lines[number]) - len(lines[number].lstrip())
    for line in reversed(lines[:number]):
        if line.strip() and len(line) - len(line.lstrip()) < depth:
            return re.match(r"\s*(unsafe )?impl\b.* for ", line) is not None
    return False


def check_unsafe(path, lines):
    if path.suffix != ".rs":
        return
    allowed = path.parts[0] == "rust" and path.parts[1] in UNSAFE_FOLDERS
    for number, line in enumerate(lines):
        code = without_strings(line)
        if not re.search(r"\bunsafe\b", code):
            continue
        if not allowed:
            yield number, "`unsafe` outside rust/ffi and rust/sys"
        elif UNSAFE_USE.search(code) and "SAFETY:" not in comment_above(lines, number):
            yield number, "`unsafe` without a SAFETY comment"
        elif (UNSAFE_FN.search(code) and "# Safety" not in comment_above(lines, number)
              and not in_trait_impl(lines, number)):
            yield number, "unsafe function without a Safety section"


# --- who may use whom --------------------------------------------------------


def outermost(names):
    """A list of imports without its nested lists."""
    while (shorter := re.sub(r"\{[^{}]*\}", "", names)) != names:
        names = shorter
    return names


def room_of(path):
    """The room that a file of rust/ is in: its folder, or it alone."""
    return path.parts[1] if len(path.parts) > 2 else path.stem


def module_of(path):
    """The module that a file of rust/ is, as the names that lead to it from the crate's root."""
    names = [*path.parts[1:-1], path.stem]
    return names[:-1] if path.stem in ("mod", "rlvs") else names


def used_modules(path, lines):
    """(line number, names from the crate's root on) for each thing that is used by `crate::` or `super::` in code."""
    text = "\n".join(without_strings(line) for line in lines)
    module = module_of(path)
    for match in re.finditer(r"\b(crate|super(?:::super)*)::((?:\w+::)*)(\w+|\{[^;]*\})", text):
        number = text.count("\n", 0, match.start())
        start, way, names = match.groups()
        above = [] if start == "crate" else module[:-start.count("super")]
        if names.startswith("{"):
            names = outermost(names[1:-1])
        for name in names.split(","):
            path = (way + name.strip()).rstrip(":").split("::")
            if name.strip():
                yield number, above + path


def check_uses(path, lines):
    if path.suffix != ".rs" or path.parts[0] != "rust":
        return
    room = room_of(path)
    if room not in ROOMS:
        yield 0, f"{room} is no room of the house: give it a place in ROOMS of tools/houserules.py"
        return
    below = ROOMS[:ROOMS.index(room) + 1]
    for number, names in used_modules(path, lines):
        module, name = names[0], "::".join(names)
        if module not in ROOMS or name.startswith(NUMBERS) and room not in PURE_FOLDERS:
            continue
        if module not in below:
            yield number, f"{room} must not use {module}, which stands above it: `{name}`"
        elif module == "ffi" and room not in UNSAFE_FOLDERS or module in MUST_NOT_USE.get(room, ()):
            yield number, f"{room} must not use {module}: `{name}`"


def files_used(files):
    """For each room the files of it that its files use: (file, file) to the place and name of one such use."""
    rooms = {}
    for path, lines in files:
        if path.suffix != ".rs" or path.parts[0] != "rust" or len(path.parts) < 3:
            continue
        file = module_of(path)[1:2]
        for number, names in used_modules(path, lines[:tests_start(lines)]):
            if file and names[0] == path.parts[1] and len(names) > 1 and names[1] != file[0]:
                arrows = rooms.setdefault(names[0], {})
                arrows.setdefault((file[0], names[1]), (path, number, "::".join(names)))
    return rooms


def check_circles(files):
    """Files of one room that use each other in a circle."""
    for arrows in files_used(files).values():
        for (user, used), (path, number, name) in arrows.items():
            reached, ahead = set(), [used]
            while ahead:
                file = ahead.pop()
                reached.add(file)
                ahead += [to for of, to in arrows if of == file and to not in reached]
            if user in reached:
                yield path, number, f"uses `{name}`, which uses this file in a circle"


def check_outside(path, lines):
    """What a file may use from outside the crate."""
    if path.suffix != ".rs" or path.parts[0] != "rust" or len(path.parts) < 3:
        return
    folder = path.parts[1]
    for number, line in enumerate(lines[:tests_start(lines)]):
        code = without_strings(line)
        if folder in PURE_FOLDERS and re.search(r"\b(kernel|alloc|std)::", code):
            yield number, f"{folder} is pure: it may use core only"
        elif folder not in UNSAFE_FOLDERS and re.search(r"\bkernel::bindings\b", code):
            yield number, "raw bindings outside rust/ffi and rust/sys"


def check_panics(path, lines):
    if path.suffix != ".rs" or path.parts[0] != "rust":
        return
    for number, line in enumerate(lines[:tests_start(lines)]):
        if PANIC.search(without_strings(line)):
            yield number, "may panic, which stops the kernel"


RULES_OF_TESTS = [check_beginning, check_length, check_words, check_unsafe]
RULES = RULES_OF_TESTS + [check_uses, check_outside, check_panics]


def complaints(root):
    """Every breach below a folder, as lines of text."""
    files = list(files_below(root))
    found = [
        (path, number, text)
        for path, lines in files
        for rule in (RULES_OF_TESTS if is_test(path, root) else RULES)
        for number, text in rule(path, lines)
    ]
    found += check_circles((path, lines) for path, lines in files if not is_test(path, root))
    return [f"{path}:{number + 1}: {text}" for path, number, text in found]


# --- self-test ---------------------------------------------------------------

HEAD = "// SPDX-License-Identifier: GPL-2.0\n//! A file to be complained of.\n"
# File, its text, and what must be said of it; an empty text is for what must pass.
PLANTED = [
    ("rust/flow/a.rs", "//! No licence here at all.\n", "SPDX"),
    ("rust/flow/b.rs", "// SPDX-License-Identifier: GPL-2.0\nfn f() {}\n", "sentence"),
    ("qemu/c.sh", "#!/bin/bash\necho 'no licence'\n", "SPDX"),
    ("rust/flow/d.rs", HEAD + "\n" * LONGEST_FILE, "limit"),
    ("rust/flow/e.rs", HEAD + "fn f() { unsafe { g() } }\n", "outside rust/ffi"),
    ("tools/x/src/f.rs", HEAD + "fn f() { unsafe { g() } }\n", "outside rust/ffi"),
    ("rust/sys/g.rs", HEAD + "fn f() {\n    unsafe { g() }\n}\n", "SAFETY"),
    ("rust/sys/h.rs", HEAD + "unsafe impl Send for A {}\n", "SAFETY"),
    ("rust/sys/i.rs", HEAD + "/// Frees it.\nunsafe fn f() {}\n", "Safety section"),
    ("rust/sys/j.rs", HEAD + 'unsafe extern "C" fn f() {}\n', "Safety section"),
    ("rust/sched/k.rs", HEAD + "use kernel::sync::Arc;\n", "core only"),
    ("rust/wire/l.rs", HEAD + "use alloc::vec::Vec;\n", "core only"),
    ("rust/sched/m.rs", HEAD + "use crate::ffi::f;\n", "must not use ffi"),
    ("rust/flow/n.rs", HEAD + "use crate::{\n    ffi,\n    hash,\n};\n", "must not use ffi"),
    ("rust/control/o.rs", HEAD + "use crate::packet::Tuple;\n", "must not use packet: `packet::Tuple`"),
    ("rust/datapath/p.rs", HEAD + "use crate::wire::nlattr;\n", "must not use wire"),
    ("rust/sys/q.rs", HEAD + "use crate::{hash::x, flow::{Flow, Table}};\n", "must not use flow"),
    ("rust/hash/a.rs", HEAD + "use crate::sys::Rcu;\n", "hash must not use sys, which stands above it: `sys::Rcu`"),
    ("rust/service/b.rs", HEAD + "use crate::sys::rcu;\nfn f(d: &crate::director::Director) {}\n", ":4: service must not use director"),
    ("rust/forward/c.rs", HEAD + "use super::super::datapath::Stack;\n", "must not use datapath, which stands above"),
    ("rust/packet/new/mod.rs", HEAD + "use super::super::flow::Flow;\n", "must not use flow, which stands above"),
    ("rust/config.rs", HEAD + "use super::service::Services;\n", "config must not use service, which stands above"),
    ("rust/hash/e1.rs", HEAD + "use super::e2::F;\n", ":3: uses `hash::e2::F`, which uses this file in a circle"),
    ("rust/hash/e2.rs", HEAD + "\nuse super::e3::F;\n", ":4: uses `hash::e3::F`"),
    ("rust/hash/e3.rs", HEAD + "use crate::hash::{e1::F, golden};\n", "uses `hash::e1::F`"),
    ("rust/attic/d.rs", HEAD, "give it a place in ROOMS"),
    ("rust/flow/r.rs", HEAD + "fn f() { kernel::bindings::g() }\n", "raw bindings"),
    ("rust/proto/s.rs", HEAD + "fn f() { g().unwrap() }\n", "panic"),
    ("rust/proto/t.rs", HEAD + "// TO" "DO: the rest\n", "unfinished"),
    ("qemu/mirrors", "deb http://deb." "debian.org/debian trixie main\n", "mirror"),
    ("rust/sys/ok1.rs", HEAD + "fn f() {\n    // SAFETY: g has no conditions.\n    let a =\n        unsafe { g() };\n}\n", ""),
    ("rust/sys/ok2.rs", HEAD + "/// # Safety\n///\n/// Never.\n#[inline]\nunsafe fn f() {}\n", ""),
    ("rust/sys/ok3.rs", HEAD + "// SAFETY: A is plain.\nunsafe impl T for A {\n    unsafe fn f() {}\n}\n", ""),
    ("rust/flow/ok5.rs", HEAD + "use crate::wire::uapi::fwd;\n", ""),
    ("rust/flow/ok6.rs", HEAD + "use super::{Dest, Flow};\nmod inner {\n    use super::super::Flow;\n}\n", ""),
    ("rust/datapath/ok7.rs", HEAD + "use crate::{director::Director, forward::{self, nat}, sys::rcu::Rcu};\n", ""),
    ("rust/sched/ok4.rs", HEAD + "use crate::hash::x;\n#[cfg(test)]\nmod tests {\n    use std::vec;\n    fn f() { g().unwrap() }\n}\n", ""),
]


def self_test(root):
    """Plants the breaches in a copy of the sources; prints what went unnoticed."""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "copy"
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*SKIPPED))
        for name, text, _ in PLANTED:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_text(text, encoding="utf-8")
        found = complaints(copy)
        for name, _, wanted in PLANTED:
            of_file = [line for line in found if line.startswith(f"{name}:")]
            if len(of_file) != bool(wanted) or not all(wanted in line for line in of_file):
                print(f"self-test: {name}: wanted '{wanted}', got {of_file}")
                failures += 1
    return failures


def main():
    arguments = [a for a in sys.argv[1:] if a != "--self-test"]
    root = pathlib.Path(arguments[0] if arguments else ".")
    if "--self-test" in sys.argv:
        return 1 if self_test(root) else 0
    found = complaints(root)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
