# SPDX-License-Identifier: GPL-2.0
"""IPsec policies and associations between hosts of the lab, with fixed keys, until the case ends."""

ESP = 50
CIPHER = "'cbc(aes)' 0x" + "11" * 16
DIGEST = "'hmac(sha256)' 0x" + "22" * 32 + " 128"


def wide(address):
    """An address as a selector for it alone."""
    return f"{address}/{128 if ':' in address else 32}"


class Policies:
    """What a host's policy database has in a case."""

    def __init__(self, t, host="director"):
        self.t, self.host, self.spi = t, host, 0x100
        t.defer(self.flush)
        t.defer(t.lab.ip, host, "xfrm state flush")

    def flush(self):
        """No policy is left."""
        self.t.lab.ip(self.host, "xfrm policy flush")

    def block(self, direction, source, target):
        """Packets between these addresses are stopped."""
        self.t.lab.ip(self.host, f"xfrm policy add src {wide(source)} dst {wide(target)} dir {direction} action block")

    def protect(self, direction, source, target, mode="transport", ends=None):
        """Packets between these addresses travel as ESP, in tunnel mode between two `ends`."""
        outer = "src {} dst {} ".format(*ends) if mode == "tunnel" else ""
        self.t.lab.ip(self.host, f"xfrm policy add src {wide(source)} dst {wide(target)} dir {direction} "
                      f"tmpl {outer}proto esp mode {mode}")

    def associate(self, source, target, mode="transport", *others):
        """The keys between two addresses, on this host and on others."""
        self.spi += 1
        for host in (self.host, *others):
            self.t.lab.ip(host, f"xfrm state add src {source} dst {target} proto esp spi {self.spi} mode {mode} "
                          f"auth-trunc {DIGEST} enc {CIPHER}")
            self.t.defer(self.t.lab.ip, host, "xfrm state flush")
