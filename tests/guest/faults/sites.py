#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes a copy of rlvs.ko whose calls that ask for memory can be made to fail: sites.py MODULE FOLDER.

FOLDER gets rlvs.ko, which needs rlvs_faults.ko, and sites.json, the list of these calls. They are found by the module's
relocations: each that names a function of FAILS gets a stub of its own, which asks rlvs_faults.ko first.
"""

import json
import pathlib
import re
import struct
import subprocess
import sys

REALLOC = ("rust_helper_krealloc_node_align", "rust_helper_kvrealloc_node_align")
# How each function says that it has no memory, in the words of rlvs_faults.c.
FAILS = {
    "null": (
        "__alloc_skb", "__kmalloc_noprof", "__kmalloc_cache_noprof", "__kmalloc_large_noprof", "__kvmalloc_node_noprof",
        "__vmalloc_noprof", "vmalloc_huge_node_noprof", "kmem_cache_alloc_noprof", "__kmem_cache_create_args",
        "pcpu_alloc_noprof", "__pskb_pull_tail", "register_net_sysctl_sz", "proc_create_net_data", *REALLOC,
        # Of rlvs itself: what stands around one call for many of Rust's, each of which is a site.
        "rlvs_cache_alloc", "rlvs_cache_create", "rlvs_kvzalloc", "rlvs_index_locks_alloc",
    ),
    "enomem": (
        "register_pernet_subsys", "register_netdevice_notifier", "genl_register_family", "nf_register_net_hooks",
        "pskb_expand_head", "skb_ensure_writable", "skb_checksum_help", "iptunnel_handle_offloads",
    ),
    "enobufs": ("ip_route_output_key_hash", "__neigh_create"),
    "packet": ("ip_defrag",),
    "route": ("xfrm_lookup",),
    "route6": ("ip6_route_output_flags",),
    # nf_defrag_ipv6_enable() is called by what this returns.
    "function": ("__symbol_get",),
}
HOW = {name: how for how, names in FAILS.items() for name in names}
# What looks like one of them and is none.
OTHERS = {
    # They only link what rlvs gives them, and their answer is always yes.
    "register_inetaddr_notifier", "register_inet6addr_notifier", "register_module_notifier", "nf_register_sockopt",
    # They move bytes.
    "_copy_from_user", "_copy_to_user", "raw_copy_from_user", "raw_copy_to_user", "validate_usercopy_range",
    # Its answer is not asked for: what it is to load is looked for again.
    "__request_module",
    # Finds what is there.
    "_totalram_pages", "kmalloc_caches",
}
# Of Rust's names, where the words are those of modules, only what has all memory in the end; KASAN asks for none.
SUSPECT = re.compile(r"realloc|^(?!_R|__asan_).*"
                     r"(?:alloc|create|clone|copy|expand|(?:^|_)register|request|route_output|lookup|defrag|ensure|pull_tail)")
# Where a function that may fail is asked for to undo something.
UNDOING = {("rlvs_defrag6_put", "__symbol_get")}

STUB = 128
FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
SECTION = re.compile(r"^Disassembly of section (.*):$")
INSTRUCTION = re.compile(r"^\s+([0-9a-f]+):\t(\S+)\s*(.*?)\s*(?:#.*)?$")
RELOCATION = re.compile(r"^\s+([0-9a-f]+): (R_X86_64_\w+)\t(.+?)([+-]0x[0-9a-f]+)?$")
NAMES = {"rax": "eax", "rbx": "ebx", "rcx": "ecx", "rdx": "edx", "rsi": "esi", "rdi": "edi", "rbp": "ebp"}


class Site:
    """A call: the relocation by which it is found, its function, what it calls, and where it returns to."""

    def __init__(self, code, place, name, after):
        self.section, self.function = code.section, code.name
        self.place, self.name, self.after = place, name, after


class Code:
    """A function's instructions: (operation, operands), where each begins, and what is relocated in which of them."""

    def __init__(self, section, name):
        self.section, self.name = section, name
        self.code, self.places, self.relocations = [], [], []

    def calls(self, index):
        """The instructions that call what is relocated in instruction `index`."""
        operation, operands = self.code[index]
        if operation.startswith(("call", "jmp")):
            return [index]
        found, register = [], operands.rpartition(",")[2]
        for number, (operation, operands) in enumerate(self.code[index + 1:], index + 1):
            if operands == "*" + register:
                found.append(number)
            elif written(operands, register):
                break
        return found

    def frees(self, call):
        """Whether a call of realloc is for no bytes."""
        for index in range(call - 1, -1, -1):
            operation, operands = self.code[index]
            if operation.startswith(("j", "call", "ret")):
                break
            if (operation, operands) == ("mov", "%rdx,%rsi"):
                # What Layout's size was made of, which the call before got the same way.
                before = (number for number in range(index, -1, -1) if self.code[number][0] == "call")
                return self.frees(next(before, 0))
            if written(operands, "%rsi"):
                return operation == "xor" and operands == "%esi,%esi"
        return False


def written(operands, register):
    """Whether an instruction with these operands writes a register, or seems to."""
    last = operands.rpartition(",")[2]
    return last in (register, "%" + NAMES.get(register[1:], register[1:] + "d"))


def disassemble(module):
    """All functions of the module."""
    text = subprocess.run(("objdump", "-dr", "--no-show-raw-insn", module), capture_output=True, text=True, check=True)
    section, functions = None, []
    for line in text.stdout.splitlines():
        if match := SECTION.match(line):
            section = match[1]
        elif match := FUNCTION.match(line):
            functions.append(Code(section, match[1]))
        elif match := RELOCATION.match(line):
            functions[-1].relocations.append((len(functions[-1].code) - 1, int(match[1], 16), match[3]))
        elif match := INSTRUCTION.match(line):
            functions[-1].code.append((match[2], match[3]))
            functions[-1].places.append(int(match[1], 16))
    return functions


def find(functions):
    """The sites; those that share a relocation follow each other."""
    for function in functions:
        for index, place, name in function.relocations:
            # KASAN notes on the stack whose it is.
            if name not in HOW or (function.name, name) in UNDOING or function.name == name:
                continue
            calls = function.calls(index)
            free = {name in REALLOC and function.frees(call) for call in calls}
            if len(free) != 1:
                sys.exit(f"sites.py: not understood: how {function.name} calls {name} by the address at {place:#x}")
            if free == {False}:
                for call in calls:
                    yield Site(function, place, name, function.places[call + 1])


class Elf:
    """A relocatable file whose relocations get another symbol."""

    def __init__(self, data):
        self.data = bytearray(data)
        begin, size, number, names = struct.unpack_from("<Q10xHHH", self.data, 0x28)
        self.places = [begin + size * i for i in range(number)]
        self.sections = [list(struct.unpack_from("<IIQQQQIIQQ", self.data, place)) for place in self.places]
        self.names = self.sections[names]

    def name(self, section):
        """A section's name."""
        begin = self.names[4] + section[0]
        return self.data[begin:self.data.index(0, begin)].decode()

    def content(self, section):
        """A section's bytes."""
        return self.data[section[4]:section[4] + section[5]]

    def replace(self, number, content):
        """Give a section other bytes, at the file's end."""
        self.data += bytes(-len(self.data) % 16)
        self.sections[number][4:6] = len(self.data), len(content)
        self.data += content
        struct.pack_into("<IIQQQQIIQQ", self.data, self.places[number], *self.sections[number])

    def symbols(self):
        """The number of the section of symbols."""
        return next(number for number, section in enumerate(self.sections) if section[1] == 2)

    def undefined(self):
        """The names that other modules or the kernel must have."""
        table = self.sections[self.symbols()]
        names = self.content(self.sections[table[6]])
        for name, _, _, where, _, _ in struct.iter_unpack("<IBBHQQ", self.content(table)):
            if not where and name:
                yield names[name:names.index(0, name)].decode()

    def number(self, wanted):
        """The number of the section of this name."""
        return next(number for number, section in enumerate(self.sections) if self.name(section) == wanted)

    def add(self, name, section=0, value=0):
        """Add a global symbol, in a section or defined elsewhere; return its number."""
        number = self.symbols()
        texts, table = self.sections[number][6], self.content(self.sections[number])
        names = self.content(self.sections[texts])
        self.replace(texts, names + name.encode() + b"\0")
        self.replace(number, table + struct.pack("<IBBHQQ", len(names), 0x10, 0, section, value, 0))
        return len(table) // 24

    def retarget(self, symbol, places):
        """Let the relocations at {(section, place): addend} be of a symbol, with so much more."""
        for section in self.sections:
            if section[1] != 4:
                continue
            of = self.name(self.sections[section[7]])
            for at in range(section[4], section[4] + section[5], 24):
                place, info, addend = struct.unpack_from("<QQq", self.data, at)
                if (of, place) in places:
                    info = symbol << 32 | info & 0xffffffff
                    struct.pack_into("<QQq", self.data, at, place, info, addend + places.pop((of, place)))
        if places:
            sys.exit(f"sites.py: no relocation at {sorted(places)}")


# A stub leaves all that belongs to the call as it is, unless the call fails.
GATE = """
gate:
    push %rbp
    mov %rsp, %rbp
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %r8
    push %r9
    push %rax
    push %r10
    mov %r11d, %edi
    mov %rsp, %rsi
    movabs $rlvs_faults_hit, %rax
    call *%rax
    test %al, %al
    pop %r10
    pop %rax
    pop %r9
    pop %r8
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    pop %rbp
    jnz 1f
    jmp *%r10
1:  ret
"""


def stubs(sites, shared):
    """The assembly of all stubs, and of one more for each relocation that several share, told apart by where they return to."""
    lines = [".text", GATE, f".balign {STUB}", ".globl rlvs_fault_sites", "rlvs_fault_sites:"]
    for number, site in enumerate(sites):
        lines += [f".balign {STUB}", f"stub{number}:", f"mov ${number}, %r11d", f"movabs ${site.name}, %r10", "jmp gate"]
    for numbers in shared:
        lines.append(f".balign {STUB}")
        for number in numbers:
            lines += [f"movabs $rlvs_fault_after{number}, %r10", "cmp %r10, (%rsp)", f"je stub{number}"]
        lines.append("ud2")
    return "\n".join(lines + ['.section .note.GNU-stack,"",@progbits', ""])


def together(sites):
    """{(section, place): the numbers of the sites that have this relocation}."""
    found = {}
    for number, site in enumerate(sites):
        found.setdefault((site.section, site.place), []).append(number)
    return found


def readable(names):
    """The names as Rust writes them."""
    done = subprocess.run(("c++filt",), input="\n".join(names), capture_output=True, text=True, check=True)
    return [re.sub(r"\[[0-9a-f]+\]", "", name) for name in done.stdout.splitlines()]


def main():
    """Make the copy."""
    module, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    elf = Elf(pathlib.Path(module).read_bytes())
    unknown = sorted(name for name in elf.undefined() if SUSPECT.search(name) and name not in HOW.keys() | OTHERS)
    if unknown:
        sys.exit(f"sites.py: say in FAILS how these fail, or in OTHERS that they do not: {' '.join(unknown)}")
    sites = list(find(disassemble(module)))
    groups = together(sites)
    shared = [numbers for numbers in groups.values() if len(numbers) > 1]
    for number in (number for numbers in shared for number in numbers):
        elf.add(f"rlvs_fault_after{number}", elf.number(sites[number].section), sites[number].after)
    places = {place: STUB * (numbers[0] if len(numbers) == 1 else len(sites) + shared.index(numbers))
              for place, numbers in groups.items()}
    elf.retarget(elf.add("rlvs_fault_sites"), places)
    (folder / "stubs.s").write_text(stubs(sites, shared), encoding="ascii")
    (folder / "calls.o").write_bytes(elf.data)
    for command in ("as -o stubs.o stubs.s", "ld -r -o rlvs.ko calls.o stubs.o"):
        subprocess.run(command.split(), cwd=folder, check=True)
    functions = readable([site.function for site in sites])
    listed = [{"function": function, "calls": site.name, "how": HOW[site.name]} for function, site in zip(functions, sites)]
    (folder / "sites.json").write_text(json.dumps(listed, indent=1), encoding="ascii")


if __name__ == "__main__":
    main()
