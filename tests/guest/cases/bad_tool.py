# SPDX-License-Identifier: GPL-2.0
"""Bad input through the tool: a status, a reason, and nothing changed."""

import json

from suite import case, check, equal

# A configuration that every bad request must leave as it is.
BASE = ("-A -t 10.0.2.100:80 -s wrr", "-a -t 10.0.2.100:80 -r 10.0.3.11:8080 -m -w 3",
        "-A -u [fd00:2::100]:53 -s rr", "-a -u [fd00:2::100]:53 -r [fd00:3::11]:5353 -m")
FULLNAT = ("-A -t 10.0.2.100:443 -s rr", "-P -t 10.0.2.100:443 -z 10.0.3.101",
           "-a -t 10.0.2.100:443 -r 10.0.3.11:8443 --fullnat")
V4, V6 = "10.0.2.100:80", "[fd00:2::100]:53"

# Refused by the kernel: name, arguments, and words of which the reason must have one.
REFUSED = {
    "duplicate_service": (f"-A -t {V4} -s rr", "exist has"),
    "duplicate_dest": (f"-a -t {V4} -r 10.0.3.11:8080 -m", "exist has"),
    "no_service_delete": ("-D -t 10.0.2.100:81", "service"),
    "no_service_edit": ("-E -t 10.0.2.100:81 -s rr", "service"),
    "no_service_dest": ("-a -t 10.0.2.100:81 -r 10.0.3.11:80 -m", "service"),
    "no_service_zero": ("-Z -t 10.0.2.100:81", "service"),
    "no_dest_delete": (f"-d -t {V4} -r 10.0.3.99:80", "dest"),
    "no_dest_edit": (f"-e -t {V4} -r 10.0.3.99:80 -m", "dest"),
    "multicast_dest": (f"-a -t {V4} -r 224.0.0.1:80 -m", "unicast"),
    "broadcast_dest": (f"-a -t {V4} -r 10.0.3.255:80 -m", "unicast"),
    "zero_dest": (f"-a -t {V4} -r 0.0.0.0:80 -m", "unicast"),
    "multicast_dest_v6": (f"-a -u {V6} -r [ff02::1]:53 -m", "unicast"),
    "unknown_scheduler": ("-A -t 10.0.2.100:81 -s nosuch", "scheduler"),
    "unknown_engine": ("-A -u 10.0.2.100:81 -s rr -p 60 --pe nosuch", "engine"),
    "unknown_engine_edit": (f"-E -u {V6} -s rr -p 60 --pe nosuch", "engine"),
    "unknown_scheduler_edit": (f"-E -t {V4} -s nosuch", "scheduler"),
    "thresholds": (f"-a -t {V4} -r 10.0.3.12:80 -m -x 3 -y 5", "threshold range"),
}
# The same, in what only rlvs has or only rlvs checks in the kernel.
REFUSED_RLVS = {
    "other_family_nat": (f"-a -t {V4} -r [fd00:3::11]:80 -m", "family"),
    "other_family_dr": (f"-a -u {V6} -r 10.0.3.11 -g", "family"),
    "other_family_fullnat": (f"-a -u {V6} -r 10.0.3.11:53 --fullnat", "family local"),
    "fullnat_without_local": (f"-a -t {V4} -r 10.0.3.12:80 --fullnat", "local"),
    "fullnat_edit_without_local": (f"-e -t {V4} -r 10.0.3.11:8080 --fullnat", "local"),
    "local_not_here": (f"-P -t {V4} -z 10.0.3.250", "host"),
    "local_not_here_v6": (f"-P -u {V6} -z fd00:3::250", "host"),
    "local_loopback": (f"-P -t {V4} -z 127.0.0.1", "host"),
    "local_other_family": (f"-P -t {V4} -z fd00:3::101", "family"),
    "local_twice": ("-P -t 10.0.2.100:443 -z 10.0.3.101", "already has"),
    "local_unknown": ("-Q -t 10.0.2.100:443 -z 10.0.3.102", "local"),
    "local_no_service": ("-P -t 10.0.2.100:81 -z 10.0.3.101", "service"),
    "local_last": ("-Q -t 10.0.2.100:443 -z 10.0.3.101", "local"),
    "multicast_service": ("-A -t 224.0.0.1:80 -s rr", "unicast"),
    "zero_service": ("-A -t 0.0.0.0:80 -s rr", "unicast"),
    "list_no_service": ("-L -n -t 10.0.2.100:81", "service"),
}
# Wrong usage; the tool refuses before it asks.
USAGE = {
    "unknown_option": f"-A -t {V4} --nosuch",
    "no_command": "-t 10.0.2.100:81",
    "two_commands": f"-A -D -t {V4}",
    "no_service": "-A -s rr",
    "no_server": f"-a -t {V4} -m",
    "server_not_allowed": f"-A -t {V4} -r 10.0.3.11:80",
    "two_methods": f"-a -t {V4} -r 10.0.3.12:80 -m -g",
    "two_services": f"-A -t {V4} -u {V4}",
    "weight_negative": f"-a -t {V4} -r 10.0.3.12:80 -m -w -1",
    "weight_text": f"-a -t {V4} -r 10.0.3.12:80 -m -w heavy",
    "port_large": "-A -t 10.0.2.100:65536 -s rr",
    "port_text": "-A -t 10.0.2.100:nosuchport -s rr",
    "address": "-A -t 10.0.2.300:80 -s rr",
    "address_v6": "-A -t [fd00:::1]:80 -s rr",
    "bracket": "-A -t [fd00::1:80 -s rr",
    "set_two": "--set 1 2",
    "set_negative": "--set -1 0 0",
    "flag": f"-A -t {V4} -s sh -b nosuch",
    "flag_of_another": f"-A -t {V4} -s rr -b mh-port",
    "local_without_address": f"-P -t {V4}",
    "persistent_0": "-A -t 10.0.2.100:81 -s rr -p 0",
    "persistent_32_days": "-A -t 10.0.2.100:81 -s rr -p 2678401",
    "persistent_text": "-A -t 10.0.2.100:81 -s rr -p long",
    "mask_prefix": "-A -t 10.0.2.100:81 -s rr -p 300 -M 24",
    "mask_text": "-A -t 10.0.2.100:81 -s rr -p 300 -M 255.255.255.256",
    "prefix_0": "-A -u [fd00:2::100]:54 -s rr -p 300 -M 0",
    "prefix_129": "-A -u [fd00:2::100]:54 -s rr -p 300 -M 129",
    "engine_alone": "-A -u 10.0.2.100:81 -s rr --pe sip",
    "engine_without_service": "-d -u 10.0.2.100:81 -r 10.0.3.11 --pe sip",
    "fwmark_zero": "-A -f 0 -s rr",
    "fwmark_large": "-A -f 4294967296 -s rr",
    "fwmark_text": "-A -f mark -s rr",
    "fwmark_and_address": f"-A -f 1 -t {V4} -s rr",
    "ipv6_alone": f"-A -t {V4} -6 -s rr",
    "one_packet_tcp": f"-A -t {V4} -s rr -o",
    "sctp": "-A --sctp-service 10.0.2.100:81 -s rr",
    "daemon": "--start-daemon master",
    "gue": f"-a -t {V4} -r 10.0.3.12 -i --tun-type gue --tun-port 6080",
}
IPVS_USAGE = {"unknown_option", "no_command", "no_service", "no_server", "server_not_allowed", "two_methods",
              "weight_negative", "weight_text", "port_large", "port_text", "address", "bracket", "set_two"}


def base(t):
    """Put the configuration in place; returns what -S says."""
    t.backend.restore(*BASE, *(FULLNAT if "fullnat" in t.backend.features else ()))
    return t.backend.save()


def refused(t, name, line, words):
    """One refusal by the kernel."""
    saved = base(t)
    done = t.backend.run(*line.split(), ok=False)
    strict = "extack" in t.backend.features
    check(done.returncode == 1 if strict else done.returncode, f"{line}: status {done.returncode}")
    reason = done.stderr.lower()
    check(reason.strip(), f"{line}: no reason")
    check(not strict or any(word in reason for word in words.split()), f"{line}: the reason says not why: {reason!r}")
    equal(t.backend.save(), saved, f"configuration after {name}")


@case("bad.refused.{name}", name=tuple(REFUSED))
def refused_both(t, name):
    """What the kernel refuses."""
    refused(t, name, *REFUSED[name])


@case("bad.refused.{name}", needs=("rlvs",), name=tuple(REFUSED_RLVS))
def refused_rlvs(t, name):
    """What rlvs refuses."""
    refused(t, name, *REFUSED_RLVS[name])


@case("bad.usage")
def usage(t):
    """Wrong command lines: status 2, one reason, nothing changed."""
    saved = base(t)
    strict = "rlvs" in t.backend.features
    for name, line in USAGE.items():
        if not strict and name not in IPVS_USAGE:
            continue
        done = t.backend.run(*line.split(), ok=False)
        check(done.returncode == 2 if strict else done.returncode, f"{name}: {line}: status {done.returncode}")
        check(done.stderr.strip(), f"{name}: no reason")
        check("panicked" not in done.stderr, f"{name}: {done.stderr}")
    equal(t.backend.save(), saved, "configuration")


@case("bad.restore", needs=("rlvs",))
def restore(t):
    """A file with an error at line N: N is named, and nothing is changed."""
    saved = base(t)
    good = ["# a comment", "-A -t 10.0.2.100:900 -s rr", "", "-a -t 10.0.2.100:900 -r 10.0.3.11:80 -m", "-Z"]
    for line in ("-A -t 10.0.2.100:901 -s rr -b mh-port", "-a -t 10.0.2.100:900", "nonsense", "-A -t 10.0.2.300:80",
                 "-L -n", "-a -t 10.0.2.100:900 -r 10.0.3.12:80 -m -w -5"):
        for place in (0, 3, 5):
            text = "\n".join(good[:place] + [line] + good[place:]) + "\n"
            done = t.backend.run("-R", text=text, ok=False)
            check(done.returncode in (1, 2), f"{line!r}: status {done.returncode}")
            check(f"line {place + 1}:" in done.stderr, f"{line!r} at line {place + 1}: {done.stderr!r}")
            equal(t.backend.save(), saved, f"configuration after {line!r} at line {place + 1}")


@case("bad.restore_refused", needs=("rlvs",))
def restore_refused(t):
    """A file whose line N the kernel refuses: N is named, and nothing that existed before is changed."""
    saved = base(t)
    done = t.backend.run("-R", text=f"-A -t 10.0.2.100:900 -s rr\n-A -t {V4} -s rr\n-D -t {V4}\n", ok=False)
    equal(done.returncode, 1, "status")
    check("line 2:" in done.stderr, f"reason {done.stderr!r}")
    after = t.backend.save()
    check(all(line in after.splitlines() for line in saved.splitlines()), f"something was changed: {after}")


@case("bad.nobody")
def nobody(t):
    """Without CAP_NET_ADMIN nothing can be listed or changed."""
    saved = base(t)
    for line in ("-L -n", "-C", "-A -t 10.0.2.100:901 -s rr", f"-d -t {V4} -r 10.0.3.11:8080", "--set 5 5 5"):
        done = t.lab.execute("director", "setpriv", "--reuid", "65534", "--clear-groups", t.backend.tool, *line.split())
        check(done.returncode == 1 if "rlvs" in t.backend.features else done.returncode, f"{line}: allowed")
        check(done.stderr.strip(), f"{line}: no reason")
    equal(t.backend.save(), saved, "configuration")


@case("bad.user_namespace", needs=("rlvs",))
def user_namespace(t):
    """Root of a user namespace rules the network namespaces that it owns, and no other."""
    saved = base(t)
    done = t.lab.execute("director", "unshare", "--user", "--map-root-user", t.backend.tool, "-C")
    equal(done.returncode, 1, f"status in another's network namespace ({done.stderr.strip()})")
    equal(t.backend.save(), saved, "configuration")
    script = f"{t.backend.tool} -A -t 10.9.9.9:80 -s rr && {t.backend.tool} -L -j"
    done = t.lab.execute("director", "unshare", "--user", "--map-root-user", "--net", "sh", "-c", script)
    equal(done.returncode, 0, f"status in its own ({done.stderr.strip()})")
    equal(len(json.loads(done.stdout)["services"]), 1, "services in its own")
