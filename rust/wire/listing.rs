// SPDX-License-Identifier: GPL-2.0
//! The lines of IPVS's files under `/proc/net`, to the blank.
//!
//! Pure: `core` only. Addresses of IPv4 are eight hexadecimal digits in the host's order, those of IPv6 are written in
//! full; ports have four digits. Source of all formats: `ip_vs_ctl.c`, `ip_vs_conn.c`, `ip_vs_app.c` of Linux 7.3.
#![allow(dead_code, reason = "only the module shows them")]

use core::fmt::{self, Display, Write};
use core::net::IpAddr;

use super::uapi::{fwd, proto};

/// Two lines above the services; the first line has the size of the table of connections.
pub const SERVICES: &str = "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";
/// Above the connections.
pub const CONNS: &str =
    "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n";
/// Above the connections with their origin.
pub const CONNS_SYNC: &str =
    "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n";
/// Above the totals, and above the rates below them.
pub const TOTALS: [&str; 2] = [
    "   Total Incoming Outgoing         Incoming         Outgoing\n   Conns  Packets  Packets            Bytes            Bytes\n",
    "\n Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n",
];
/// Above the totals of processors, and above the rates below them.
pub const PROCESSORS: [&str; 2] = [
    "       Total Incoming Outgoing         Incoming         Outgoing\nCPU    Conns  Packets  Packets            Bytes            Bytes\n",
    "\n     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n",
];
/// Above the helpers.
pub const APPS: &str = "prot port    usecnt name\n";

/// A line of text that is made at once: it takes no more than `N` bytes, and loses what is beyond.
pub struct Line<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Line<N> {
    /// An empty one.
    fn default() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> Line<N> {
    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl<const N: usize> Write for Line<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.saturating_add(text.len());
        let place = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// A protocol as IPVS names it.
pub fn protocol(number: u8) -> &'static str {
    match number.into() {
        proto::IP => "IP",
        proto::TCP => "TCP",
        proto::UDP => "UDP",
        proto::SCTP => "SCTP",
        _ => "IP_?",
    }
}

/// A forwarding method as IPVS names it: NAT is what has no other name.
pub fn method(number: u32) -> &'static str {
    match number {
        fwd::LOCALNODE => "Local",
        fwd::TUNNEL => "Tunnel",
        fwd::DROUTE => "Route",
        _ => "Masq",
    }
}

/// An address.
struct Addr(IpAddr);

impl Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(addr) => write!(f, "{:08X}", u32::from(addr)),
            IpAddr::V6(addr) => {
                let [first, rest @ ..] = addr.segments();
                write!(f, "{first:04x}")?;
                rest.into_iter()
                    .try_for_each(|word| write!(f, ":{word:04x}"))
            }
        }
    }
}

/// The same in brackets, if it is one of IPv6.
struct Bracketed(IpAddr);

impl Display for Bracketed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(_) => Addr(self.0).fmt(f),
            IpAddr::V6(_) => write!(f, "[{}]", Addr(self.0)),
        }
    }
}

/// A service.
pub struct Service<'a> {
    /// 0, or what it goes by instead of protocol, address and port.
    pub mark: u32,
    pub proto: u8,
    pub addr: IpAddr,
    pub port: u16,
    pub scheduler: &'a str,
    pub one_packet: bool,
    /// The time-out in ticks, and the netmask as it came by netlink.
    pub persistent: Option<(u32, [u8; 4])>,
}

impl Display for Service<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (proto, addr, port) = (protocol(self.proto), Bracketed(self.addr), self.port);
        let (sched, ops) = (self.scheduler, if self.one_packet { "ops " } else { "" });
        match (self.mark, self.addr) {
            (0, IpAddr::V4(_)) => write!(f, "{proto}  {addr}:{port:04X} {sched} {ops} ")?,
            (0, IpAddr::V6(_)) => write!(f, "{proto}  {addr}:{port:04X} {sched} ")?,
            (mark, _) => write!(f, "FWM  {mark:08X} {sched} {ops}")?,
        }
        match self.persistent {
            Some((ticks, mask)) => {
                writeln!(f, "persistent {ticks} {:08X}", u32::from_be_bytes(mask))
            }
            None => f.write_str("\n"),
        }
    }
}

/// A destination.
pub struct Dest {
    pub addr: IpAddr,
    pub port: u16,
    pub method: u32,
    pub weight: u32,
    pub active: u32,
    pub inactive: u32,
}

impl Display for Dest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (addr, port, method) = (Bracketed(self.addr), self.port, method(self.method));
        let (weight, active, inactive) = (self.weight, self.active, self.inactive);
        writeln!(
            f,
            "  -> {addr}:{port:04X}      {method:<7} {weight:<6} {active:<10} {inactive:<10}"
        )
    }
}

/// A connection, without the line's end: what a persistence engine has read stands before it.
pub struct Conn<'a> {
    pub proto: u8,
    pub client: (IpAddr, u16),
    pub service: (IpAddr, u16),
    pub dest: (IpAddr, u16),
    pub state: &'a str,
    /// Seconds.
    pub expires: u32,
}

impl Conn<'_> {
    fn begin(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, service, dest) =
            (Addr(self.client.0), Addr(self.service.0), Addr(self.dest.0));
        write!(
            f,
            "{:<3} {client} {:04X} {service} {:04X} {dest} {:04X} {:<11} ",
            protocol(self.proto),
            self.client.1,
            self.service.1,
            self.dest.1,
            self.state,
        )
    }
}

impl Display for Conn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.begin(f)?;
        write!(f, "{:7}", self.expires)
    }
}

/// A connection that began here, in the list that tells that from those that another director told of.
pub struct Origin<'a>(pub Conn<'a>);

impl Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.begin(f)?;
        write!(f, "{:<6} {:7}", "LOCAL", self.0.expires)
    }
}

/// Connections, packets in and out, bytes in and out; or as many a second.
pub struct Totals(pub [u64; 5]);

impl Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [conns, inpkts, outpkts, inbytes, outbytes] = self.0;
        writeln!(
            f,
            "{conns:8X} {inpkts:8X} {outpkts:8X} {inbytes:16X} {outbytes:16X}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn service(
        mark: u32,
        text: &str,
        one_packet: bool,
        persistent: Option<(u32, [u8; 4])>,
    ) -> String {
        let (addr, scheduler) = (addr(text), "rr");
        let service = Service {
            mark,
            proto: 17,
            addr,
            port: 53,
            scheduler,
            one_packet,
            persistent,
        };
        service.to_string()
    }

    #[test]
    fn services_are_written_as_ipvs_writes_them() {
        let mask = Some((90_000, [255, 255, 255, 0]));
        assert_eq!(
            service(0, "192.168.1.1", false, None),
            "UDP  C0A80101:0035 rr  \n"
        );
        assert_eq!(
            service(0, "192.168.1.1", true, None),
            "UDP  C0A80101:0035 rr ops  \n"
        );
        assert_eq!(
            service(0, "192.168.1.1", false, mask),
            "UDP  C0A80101:0035 rr  persistent 90000 FFFFFF00\n"
        );
        assert_eq!(service(7, "0.0.0.0", false, None), "FWM  00000007 rr \n");
        assert_eq!(service(7, "::", true, None), "FWM  00000007 rr ops \n");
        assert_eq!(
            service(0, "fd00:2::100", true, Some((2500, 64_u32.to_le_bytes()))),
            "UDP  [fd00:0002:0000:0000:0000:0000:0000:0100]:0035 rr persistent 2500 40000000\n"
        );
    }

    #[test]
    fn destinations_are_written_as_ipvs_writes_them() {
        let dest = |text, method| {
            let addr = addr(text);
            let (port, weight, active, inactive) = (8080, 3, 12, 345);
            Dest {
                addr,
                port,
                method,
                weight,
                active,
                inactive,
            }
            .to_string()
        };
        assert_eq!(
            dest("10.0.0.1", fwd::MASQ),
            "  -> 0A000001:1F90      Masq    3      12         345       \n"
        );
        assert_eq!(
            dest("fd00:3::11", fwd::TUNNEL),
            "  -> [fd00:0003:0000:0000:0000:0000:0000:0011]:1F90      Tunnel  3      12         345       \n"
        );
        let names = [0, 1, 2, 3, 5].map(method);
        assert_eq!(names, ["Masq", "Local", "Tunnel", "Route", "Masq"]);
    }

    #[test]
    fn connections_are_written_as_ipvs_writes_them() {
        let conn = |from: &str, to: &str, dest: &str| Conn {
            proto: 6,
            client: (addr(from), 4000),
            service: (addr(to), 80),
            dest: (addr(dest), 8080),
            state: "ESTABLISHED",
            expires: 899,
        };
        let v4 = || conn("10.0.1.2", "10.0.2.100", "10.0.3.11");
        assert_eq!(
            v4().to_string(),
            "TCP 0A000102 0FA0 0A000264 0050 0A00030B 1F90 ESTABLISHED     899"
        );
        assert_eq!(
            Origin(v4()).to_string(),
            "TCP 0A000102 0FA0 0A000264 0050 0A00030B 1F90 ESTABLISHED LOCAL      899"
        );
        let crossed = conn("fd00:1::2", "fd00:2::100", "10.0.3.11").to_string();
        assert!(
            crossed.ends_with("0100 0050 0A00030B 1F90 ESTABLISHED     899"),
            "{crossed}"
        );
    }

    #[test]
    fn the_longest_lines_fit() {
        let long = addr("fd00:1111:2222:3333:4444:5555:6666:7777");
        let mut line = Line::<192>::default();
        let conn = Conn {
            proto: 132,
            client: (long, 65_535),
            service: (long, 65_535),
            dest: (long, 65_535),
            state: "S-ACK-SENT!",
            expires: u32::MAX,
        };
        assert!(write!(line, "{}", Origin(conn)).is_ok());
        assert!(line.bytes().ends_with(b"LOCAL  4294967295"));
        let mut short = Line::<8>::default();
        assert!(short.write_str("123456789").is_err());
        assert_eq!(short.bytes(), b"");
    }

    #[test]
    fn totals_have_the_widths_of_their_columns() {
        assert_eq!(
            Totals([1, 0x1234, 0, 0xABCDEF, 0]).to_string(),
            "       1     1234        0           ABCDEF                0\n"
        );
    }
}
