// SPDX-License-Identifier: GPL-2.0
//! Every number of the generic netlink families `RLVS` and `IPVS`, in one list.
//!
//! Up to [`cmd::FLUSH`] and [`attr::TIMEOUT_UDP`], and in the nests of service, destination, daemon, statistics and
//! info below 64, the numbers are those of Linux's `include/uapi/linux/ip_vs.h`. What IPVS does not have is counted
//! from 64, except in nests that IPVS does not have either.
//!
//! Shapes: addresses are 16 bytes, IPv4 in the first four; ports and the IPv4 netmask are big-endian; all else is in
//! the host's byte order.
#![allow(
    dead_code,
    reason = "one list for the module, the tool and the tests; each uses its part"
)]

/// The name of this module's own generic netlink family.
pub const FAMILY: &str = "RLVS";
/// The family that ipvsadm, keepalived and others speak to.
pub const FAMILY_IPVS: &str = "IPVS";
/// The version of both families.
pub const FAMILY_VERSION: u8 = 1;
/// IPVS 1.2.1, one byte a part, as [`info::VERSION`] reports it.
pub const IPVS_VERSION: u32 = 0x01_02_01;

/// Bytes of every address attribute.
pub const ADDR_LEN: usize = 16;
/// Bytes of [`svc::FLAGS`]: the flags and the mask of those that count, a u32 each.
pub const FLAGS_LEN: usize = 8;
/// Longest name of a scheduler in bytes, without the closing NUL.
pub const SCHED_NAME_MAX: usize = 15;
/// Longest name of a persistence engine in bytes, without the closing NUL.
pub const PE_NAME_MAX: usize = 16;
/// Longest data that a persistence engine takes out of a packet, in bytes.
pub const PE_DATA_MAX: usize = 255;
/// Longest name of a network interface in bytes, without the closing NUL.
pub const IFNAME_MAX: usize = 15;

/// Commands: the `cmd` byte of the generic netlink header.
pub mod cmd {
    /// Adds the service in [`super::attr::SERVICE`].
    pub const NEW_SERVICE: u8 = 1;
    /// Changes a service.
    pub const SET_SERVICE: u8 = 2;
    /// Removes a service with its destinations.
    pub const DEL_SERVICE: u8 = 3;
    /// One service, or as a dump all; answered by [`NEW_SERVICE`].
    pub const GET_SERVICE: u8 = 4;
    /// Adds the destination in [`super::attr::DEST`] to the service in [`super::attr::SERVICE`].
    pub const NEW_DEST: u8 = 5;
    /// Changes a destination.
    pub const SET_DEST: u8 = 6;
    /// Removes a destination.
    pub const DEL_DEST: u8 = 7;
    /// Dump of one service's destinations; answered by [`NEW_DEST`].
    pub const GET_DEST: u8 = 8;
    /// Starts a synchronisation daemon.
    pub const NEW_DAEMON: u8 = 9;
    /// Stops a synchronisation daemon.
    pub const DEL_DAEMON: u8 = 10;
    /// Dump of the daemons; answered by [`NEW_DAEMON`].
    pub const GET_DAEMON: u8 = 11;
    /// Sets the time-outs that are given and not 0.
    pub const SET_CONFIG: u8 = 12;
    /// The time-outs; answered by [`SET_CONFIG`].
    pub const GET_CONFIG: u8 = 13;
    /// Only as the answer to [`GET_INFO`].
    pub const SET_INFO: u8 = 14;
    /// Versions, sizes and counters of the whole ([`super::info`]).
    pub const GET_INFO: u8 = 15;
    /// Zeroes the counters of one service, or of all.
    pub const ZERO: u8 = 16;
    /// Removes every service.
    pub const FLUSH: u8 = 17;

    /// Adds the local address in [`super::attr::LADDR`] to a service.
    pub const NEW_LADDR: u8 = 64;
    /// Removes a local address from a service.
    pub const DEL_LADDR: u8 = 65;
    /// Dump of one service's local addresses; answered by [`NEW_LADDR`].
    pub const GET_LADDR: u8 = 66;
    /// Dump of the connections; answered by [`NEW_CONN`].
    pub const GET_CONN: u8 = 67;
    /// Only as the answer to [`GET_CONN`].
    pub const NEW_CONN: u8 = 68;
    /// Makes every connection pass the host's rules again before it goes early.
    pub const RECHECK: u8 = 69;
    /// What all services have counted together, those that are gone too; answered by [`NEW_TOTALS`].
    pub const GET_TOTALS: u8 = 70;
    /// Only as the answer to [`GET_TOTALS`].
    pub const NEW_TOTALS: u8 = 71;
}

/// Attributes at the top of a message.
pub mod attr {
    /// Nest of [`super::svc`].
    pub const SERVICE: u16 = 1;
    /// Nest of [`super::dest`].
    pub const DEST: u16 = 2;
    /// Nest of [`super::daemon`].
    pub const DAEMON: u16 = 3;
    /// u32, seconds: established TCP.
    pub const TIMEOUT_TCP: u16 = 4;
    /// u32, seconds: TCP after a FIN.
    pub const TIMEOUT_TCP_FIN: u16 = 5;
    /// u32, seconds: UDP.
    pub const TIMEOUT_UDP: u16 = 6;

    /// Nest of [`super::laddr`].
    pub const LADDR: u16 = 64;
    /// Nest of [`super::conn`].
    pub const CONN: u16 = 65;
    /// Nest of [`super::stats`], 32-bit where IPVS has them: the totals.
    pub const STATS: u16 = 66;
    /// Nest of [`super::stats`], all u64: the totals.
    pub const STATS64: u16 = 67;
}

/// Attributes of a service. It is named by AF and either FWMARK or PROTOCOL, ADDR and PORT.
pub mod svc {
    /// u16, [`super::af`].
    pub const AF: u16 = 1;
    /// u16, [`super::proto`].
    pub const PROTOCOL: u16 = 2;
    /// 16 bytes.
    pub const ADDR: u16 = 3;
    /// be16; 0 is any port.
    pub const PORT: u16 = 4;
    /// u32.
    pub const FWMARK: u16 = 5;
    /// String of at most [`super::SCHED_NAME_MAX`] bytes.
    pub const SCHED_NAME: u16 = 6;
    /// Two u32: [`super::svc_flags`], and the mask of those that are meant.
    pub const FLAGS: u16 = 7;
    /// u32, seconds of persistence.
    pub const TIMEOUT: u16 = 8;
    /// Persistence's granularity: IPv4 a be32 mask, IPv6 a u32 prefix length.
    pub const NETMASK: u16 = 9;
    /// Nest of [`super::stats`], 32-bit where IPVS has them.
    pub const STATS: u16 = 10;
    /// String of at most [`super::PE_NAME_MAX`] bytes.
    pub const PE_NAME: u16 = 11;
    /// Nest of [`super::stats`], all u64.
    pub const STATS64: u16 = 12;

    /// Two u32: bits of the firewall mark that the service's packets get, and which bits are
    /// meant. Absent in a request: as before. Absent in an answer: none.
    pub const LABEL: u16 = 64;
}

/// Flags of a service.
pub mod svc_flags {
    /// Persistent.
    pub const PERSISTENT: u32 = 0x01;
    /// In the table; set in every answer.
    pub const HASHED: u32 = 0x02;
    /// One packet a connection.
    pub const ONEPACKET: u32 = 0x04;
    /// The scheduler's first flag.
    pub const SCHED1: u32 = 0x08;
    /// The scheduler's second flag.
    pub const SCHED2: u32 = 0x10;
    /// The scheduler's third flag.
    pub const SCHED3: u32 = 0x20;
    /// sh and mh: take another destination where the hash names one that can't be used.
    pub const FALLBACK: u32 = SCHED1;
    /// sh and mh: hash the source port too.
    pub const PORT: u32 = SCHED2;
}

/// Attributes of a destination. It is named by ADDR, PORT and ADDR_FAMILY.
pub mod dest {
    /// 16 bytes.
    pub const ADDR: u16 = 1;
    /// be16.
    pub const PORT: u16 = 2;
    /// u32, [`super::fwd`] under [`super::fwd::MASK`].
    pub const FWD_METHOD: u16 = 3;
    /// u32; 0 gives it no new connections.
    pub const WEIGHT: u16 = 4;
    /// u32, upper threshold of connections; 0 is none.
    pub const U_THRESH: u16 = 5;
    /// u32, lower threshold; 0 is three quarters of the upper.
    pub const L_THRESH: u16 = 6;
    /// u32.
    pub const ACTIVE_CONNS: u16 = 7;
    /// u32.
    pub const INACT_CONNS: u16 = 8;
    /// u32.
    pub const PERSIST_CONNS: u16 = 9;
    /// Nest of [`super::stats`], 32-bit where IPVS has them.
    pub const STATS: u16 = 10;
    /// u16, [`super::af`]; absent or 0 is the service's.
    pub const ADDR_FAMILY: u16 = 11;
    /// Nest of [`super::stats`], all u64.
    pub const STATS64: u16 = 12;
    /// u8, [`super::tun`].
    pub const TUN_TYPE: u16 = 13;
    /// be16, UDP port of GUE.
    pub const TUN_PORT: u16 = 14;
    /// u16, [`super::tun_flags`].
    pub const TUN_FLAGS: u16 = 15;
}

/// Forwarding methods.
pub mod fwd {
    /// The bits of [`super::dest::FWD_METHOD`] that say the method.
    pub const MASK: u32 = 7;
    /// NAT: the destination's address and port are rewritten.
    pub const MASQ: u32 = 0;
    /// The director itself.
    pub const LOCALNODE: u32 = 1;
    /// IP in IP.
    pub const TUNNEL: u32 = 2;
    /// The next hop's link-layer address only.
    pub const DROUTE: u32 = 3;
    /// On to the packet's own destination; never asked for by a user.
    pub const BYPASS: u32 = 4;
    /// NAT of both ends: the source becomes one of the service's local addresses.
    pub const FULLNAT: u32 = 5;
}

/// Tunnel types.
pub mod tun {
    /// IP in IP.
    pub const IPIP: u8 = 0;
    /// Generic UDP encapsulation.
    pub const GUE: u8 = 1;
    /// GRE.
    pub const GRE: u8 = 2;
}

/// Flags of a tunnel.
pub mod tun_flags {
    /// The outer header carries a checksum.
    pub const CSUM: u16 = 1;
    /// GUE's remote checksum offload.
    pub const REMCSUM: u16 = 2;
}

/// Attributes of a synchronisation daemon.
pub mod daemon {
    /// u32: 1 master, 2 backup.
    pub const STATE: u16 = 1;
    /// String of at most [`super::IFNAME_MAX`] bytes.
    pub const MCAST_IFN: u16 = 2;
    /// u32.
    pub const SYNC_ID: u16 = 3;
    /// u16, bytes.
    pub const SYNC_MAXLEN: u16 = 4;
    /// be32.
    pub const MCAST_GROUP: u16 = 5;
    /// 16 bytes.
    pub const MCAST_GROUP6: u16 = 6;
    /// u16 in the host's byte order.
    pub const MCAST_PORT: u16 = 7;
    /// u8.
    pub const MCAST_TTL: u16 = 8;
}

/// Attributes of statistics. In STATS: conns, packets and rates u32, bytes u64. In STATS64: all u64.
pub mod stats {
    /// Connections scheduled.
    pub const CONNS: u16 = 1;
    /// Packets from clients.
    pub const INPKTS: u16 = 2;
    /// Packets to clients.
    pub const OUTPKTS: u16 = 3;
    /// Bytes from clients.
    pub const INBYTES: u16 = 4;
    /// Bytes to clients.
    pub const OUTBYTES: u16 = 5;
    /// Connections a second.
    pub const CPS: u16 = 6;
    /// Packets a second from clients.
    pub const INPPS: u16 = 7;
    /// Packets a second to clients.
    pub const OUTPPS: u16 = 8;
    /// Bytes a second from clients.
    pub const INBPS: u16 = 9;
    /// Bytes a second to clients.
    pub const OUTBPS: u16 = 10;
    /// Empty, to align a u64.
    pub const PAD: u16 = 11;
}

/// Attributes of the answer to [`cmd::GET_INFO`]; these stand at the top of the message.
pub mod info {
    /// u32, [`super::IPVS_VERSION`].
    pub const VERSION: u16 = 1;
    /// u32, buckets of the connection table now.
    pub const CONN_TAB_SIZE: u16 = 2;

    /// u64, connections now.
    pub const CONNS: u16 = 64;
    /// u64, the most that there may be.
    pub const CONN_MAX: u16 = 65;
    /// u64, new connections refused because there were [`CONN_MAX`].
    pub const DROP_LIMIT: u16 = 66;
    /// u64, new connections refused because FULLNAT had no local port left.
    pub const DROP_PORTS: u16 = 67;
    /// u64, new connections refused for want of memory.
    pub const DROP_NOMEM: u16 = 68;
    /// String, the version of this module.
    pub const MODULE_VERSION: u16 = 69;
    /// u64, closed connections that gave way to new ones, at [`CONN_MAX`] or without a port.
    pub const DISPLACED_OVER: u16 = 70;
    /// u64, half-open connections that gave way.
    pub const DISPLACED_HALF_OPEN: u16 = 71;
    /// u64, unanswered UDP that gave way.
    pub const DISPLACED_ONE_WAY: u16 = 72;
    /// u64, connections that gave way whose ends were not known to be there.
    pub const DISPLACED_UNCONFIRMED: u16 = 73;
    /// u64, templates without connections that gave way.
    pub const DISPLACED_TEMPLATES: u16 = 74;
    /// u32, [`super::early`]: whether the early path is on.
    pub const EARLY: u16 = 80;
    /// Nest of [`super::late`].
    pub const LATE: u16 = 81;
    /// u64, how often the upkeep of this network namespace has run.
    pub const UPKEEP_RUNS: u16 = 82;
}

/// Whether packets of known connections go early, and if not, why.
pub mod early {
    /// They do.
    pub const ON: u32 = 0;
    /// The sysctl `early` is 0.
    pub const SWITCHED_OFF: u32 = 1;
    /// Each packet is shown to IPsec's policies.
    pub const POLICIES: u32 = 2;
    /// A moment ago a device or an address went; it is on again in a moment.
    pub const PAUSED: u32 = 3;
}

/// u64 each: packets of known connections that went the ordinary way, by reason.
///
/// The attribute's number is the reason's place in the list, from 1 on.
pub mod late {
    /// The reasons: SYN; no packet of its side has come out behind the host's rules yet; another
    /// interface, type of service or mark than those; IPsec; no way out; too large; TTL; options,
    /// extension headers or fragments; the kernel would not forward it; connection tracking.
    pub const REASONS: [&str; 10] = [
        "syn",
        "unmarked",
        "interface",
        "policy",
        "path",
        "size",
        "ttl",
        "form",
        "refused",
        "tracking",
    ];
}

/// Attributes of one of a service's local addresses. It is named by ADDR and ADDR_FAMILY.
pub mod laddr {
    /// 16 bytes.
    pub const ADDR: u16 = 1;
    /// u16, [`super::af`].
    pub const ADDR_FAMILY: u16 = 2;
    /// u64, live connections of this service that use it.
    pub const CONNS: u16 = 3;
    /// u64, new connections refused because no port was left on it.
    pub const EXHAUSTED: u16 = 4;
}

/// Attributes of a connection.
pub mod conn {
    /// u16, [`super::af`] of client and virtual address.
    pub const ADDR_FAMILY: u16 = 1;
    /// u16, [`super::proto`].
    pub const PROTOCOL: u16 = 2;
    /// 16 bytes, the client's address.
    pub const CADDR: u16 = 3;
    /// be16, the client's port.
    pub const CPORT: u16 = 4;
    /// 16 bytes, the virtual address.
    pub const VADDR: u16 = 5;
    /// be16, the virtual port.
    pub const VPORT: u16 = 6;
    /// 16 bytes, the destination's address.
    pub const DADDR: u16 = 7;
    /// be16, the destination's port.
    pub const DPORT: u16 = 8;
    /// u16, [`super::af`] of the destination and of the local address, which talk to each other.
    pub const DEST_FAMILY: u16 = 9;
    /// 16 bytes, FULLNAT only: the local address.
    pub const LADDR: u16 = 10;
    /// be16, FULLNAT only: the local port.
    pub const LPORT: u16 = 11;
    /// String, the state's name as IPVS prints it.
    pub const STATE: u16 = 12;
    /// u32, seconds until it expires.
    pub const EXPIRES: u16 = 13;
    /// u32, [`super::fwd`].
    pub const FWD_METHOD: u16 = 14;
    /// u32, [`super::conn_flags`].
    pub const FLAGS: u16 = 15;
    /// String, templates of services with a persistence engine only: its name.
    pub const PE_NAME: u16 = 16;
    /// Up to [`super::PE_DATA_MAX`] bytes, what it took out of a packet.
    pub const PE_DATA: u16 = 17;
}

/// What a connection is besides; numbers of IPVS's flags.
pub mod conn_flags {
    /// A template: it remembers for which clients a destination is. The mark of a service by mark stands in the
    /// first four bytes of the virtual address, and the protocol is 0.
    pub const TEMPLATE: u32 = 0x1000;
}

/// Address families, as Linux numbers them.
pub mod af {
    /// Not given.
    pub const UNSPEC: u16 = 0;
    /// IPv4.
    pub const INET: u16 = 2;
    /// IPv6.
    pub const INET6: u16 = 10;
}

/// Protocols, as IANA numbers them.
pub mod proto {
    /// Any; of templates of services by mark.
    pub const IP: u16 = 0;
    /// TCP.
    pub const TCP: u16 = 6;
    /// UDP.
    pub const UDP: u16 = 17;
    /// SCTP.
    pub const SCTP: u16 = 132;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs that exist have these compiled in.
    #[test]
    fn the_numbers_of_ipvs_stand_still() {
        assert_eq!(
            (cmd::NEW_SERVICE, cmd::GET_SERVICE, cmd::NEW_DEST),
            (1, 4, 5)
        );
        assert_eq!((cmd::GET_DEST, cmd::GET_CONFIG, cmd::FLUSH), (8, 13, 17));
        assert_eq!((attr::SERVICE, attr::DEST, attr::TIMEOUT_UDP), (1, 2, 6));
        assert_eq!((svc::SCHED_NAME, svc::STATS64), (6, 12));
        assert_eq!(
            (dest::FWD_METHOD, dest::ADDR_FAMILY, dest::TUN_FLAGS),
            (3, 11, 15)
        );
        assert_eq!((stats::CONNS, stats::OUTBPS, stats::PAD), (1, 10, 11));
        assert_eq!((info::VERSION, info::CONN_TAB_SIZE), (1, 2));
    }

    #[test]
    fn every_method_fits_the_mask() {
        assert_eq!(fwd::FULLNAT & fwd::MASK, fwd::FULLNAT);
    }
}
