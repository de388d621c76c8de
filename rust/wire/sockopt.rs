// SPDX-License-Identifier: GPL-2.0
//! The structures of IPVS's socket options, which know IPv4 alone.
//!
//! Pure: `core` only. Addresses, ports and netmasks are big-endian, all else is in the host's byte order; what lies between
//! the fields is zero. Source of the numbers: `include/uapi/linux/ip_vs.h` of Linux 7.3.
#![allow(dead_code, reason = "only the module speaks them")]

use core::net::Ipv4Addr;

/// The first option of both kinds.
pub const BASE: u32 = 1152;

/// Options to set, counted from [`BASE`].
pub mod set {
    /// Adds a service; a [`super::Service`] comes with it.
    pub const ADD: u32 = 2;
    /// Changes a service.
    pub const EDIT: u32 = 3;
    /// Removes a service.
    pub const DEL: u32 = 4;
    /// Removes all services.
    pub const FLUSH: u32 = 5;
    /// Adds a destination; a [`super::Dest`] follows the service.
    pub const ADD_DEST: u32 = 7;
    /// Removes a destination.
    pub const DEL_DEST: u32 = 8;
    /// Changes a destination.
    pub const EDIT_DEST: u32 = 9;
    /// Sets time-outs; [`super::timeouts`] come with it.
    pub const TIMEOUT: u32 = 10;
    /// Starts a synchronisation daemon.
    pub const START_DAEMON: u32 = 11;
    /// Stops a synchronisation daemon.
    pub const STOP_DAEMON: u32 = 12;
    /// Zeroes the counters of one service, or of all.
    pub const ZERO: u32 = 15;
}

/// Options to get, counted from [`BASE`].
pub mod get {
    /// A line of text.
    pub const VERSION: u32 = 0;
    /// Version, size of the table of connections, number of services: three u32.
    pub const INFO: u32 = 1;
    /// All services.
    pub const SERVICES: u32 = 2;
    /// One service.
    pub const SERVICE: u32 = 3;
    /// A service's destinations.
    pub const DESTS: u32 = 4;
    /// The time-outs: three u32.
    pub const TIMEOUT: u32 = 6;
    /// Two synchronisation daemons.
    pub const DAEMON: u32 = 7;
}

/// Bytes of a [`Service`].
pub const SERVICE_LEN: usize = 44;
/// Bytes of a [`Dest`].
pub const DEST_LEN: usize = 24;
/// Bytes of the time-outs.
pub const TIMEOUT_LEN: usize = 12;
/// Bytes of a daemon.
pub const DAEMON_LEN: usize = 24;
/// Bytes of a version.
pub const VERSION_LEN: usize = 64;
/// Bytes of the answer to [`get::INFO`].
pub const INFO_LEN: usize = 12;
/// Bytes of a [`ServiceEntry`].
pub const SERVICE_ENTRY_LEN: usize = 104;
/// Bytes of a [`DestEntry`].
pub const DEST_ENTRY_LEN: usize = 96;
/// Bytes before the services in the answer to [`get::SERVICES`].
pub const SERVICES_HEAD: usize = 8;
/// Bytes before the destinations in the answer to [`get::DESTS`].
pub const DESTS_HEAD: usize = 24;

/// How many bytes come with an option that is set; `None`: there is no such option.
pub fn set_len(option: u32) -> Option<usize> {
    Some(match option {
        set::ADD | set::EDIT | set::DEL | set::ZERO => SERVICE_LEN,
        set::FLUSH => 0,
        set::ADD_DEST | set::DEL_DEST | set::EDIT_DEST => SERVICE_LEN + DEST_LEN,
        set::TIMEOUT => TIMEOUT_LEN,
        set::START_DAEMON | set::STOP_DAEMON => DAEMON_LEN,
        _ => return None,
    })
}

/// How many bytes must be there at least to get an option; `None`: there is no such option.
pub fn get_len(option: u32) -> Option<usize> {
    Some(match option {
        get::VERSION => VERSION_LEN,
        get::INFO => INFO_LEN,
        get::SERVICES => SERVICES_HEAD,
        get::SERVICE => SERVICE_ENTRY_LEN,
        get::DESTS => DESTS_HEAD,
        get::TIMEOUT => TIMEOUT_LEN,
        get::DAEMON => 2 * DAEMON_LEN,
        _ => return None,
    })
}

/// A field of `N` bytes at an offset, or zeros.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([0; N])
}

/// A u32 of the host at an offset.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(field(bytes, at))
}

/// The three time-outs of a request, in seconds.
pub fn timeouts(bytes: &[u8]) -> [u32; 3] {
    [0, 4, 8].map(|at| u32_at(bytes, at))
}

/// What names a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub proto: u16,
    pub addr: Ipv4Addr,
    pub port: u16,
    /// 0: none.
    pub mark: u32,
}

impl Key {
    /// Reads the first fields of a service, a service's entry, or a list of destinations.
    pub fn read(bytes: &[u8]) -> Self {
        Self {
            proto: u16::from_ne_bytes(field(bytes, 0)),
            addr: Ipv4Addr::from(field::<4>(bytes, 4)),
            port: u16::from_be_bytes(field(bytes, 8)),
            mark: u32_at(bytes, 12),
        }
    }
}

/// A service as a request has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    pub key: Key,
    /// `None`: it has no end, or is no text.
    pub scheduler: Option<&'a str>,
    pub flags: u32,
    pub timeout: u32,
    pub netmask: [u8; 4],
}

impl<'a> Service<'a> {
    pub fn read(bytes: &'a [u8]) -> Self {
        let name = bytes.get(16..32).unwrap_or(&[]);
        let end = name.iter().position(|&byte| byte == 0);
        let name = end.and_then(|end| name.get(..end));
        Self {
            key: Key::read(bytes),
            scheduler: name.and_then(|name| core::str::from_utf8(name).ok()),
            flags: u32_at(bytes, 32),
            timeout: u32_at(bytes, 36),
            netmask: field(bytes, 40),
        }
    }
}

/// A destination as a request has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dest {
    pub addr: Ipv4Addr,
    pub port: u16,
    pub flags: u32,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
}

impl Dest {
    pub fn read(bytes: &[u8]) -> Self {
        Self {
            addr: Ipv4Addr::from(field::<4>(bytes, 0)),
            port: u16::from_be_bytes(field(bytes, 4)),
            flags: u32_at(bytes, 8),
            weight: u32_at(bytes, 12),
            upper: u32_at(bytes, 16),
            lower: u32_at(bytes, 20),
        }
    }
}

/// A structure that is being filled: all of it that nobody fills is zero.
struct Filled<const N: usize>([u8; N]);

impl<const N: usize> Filled<N> {
    fn new() -> Self {
        Self([0; N])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let place = self.0.get_mut(at..at.saturating_add(bytes.len()));
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
    }

    fn u32(&mut self, at: usize, number: u32) {
        self.put(at, &number.to_ne_bytes());
    }

    /// Counters and rates at an offset: 32 bits each, but for the sums of bytes.
    fn stats(&mut self, at: usize, counts: [u64; 5], rates: [u64; 5]) {
        let [conns, inpkts, outpkts, inbytes, outbytes] = counts;
        for (place, count) in (at..).step_by(4).zip([conns, inpkts, outpkts]) {
            // CAST: keeps the lower half, as IPVS does.
            self.u32(place, count as u32);
        }
        self.put(at.saturating_add(16), &inbytes.to_ne_bytes());
        self.put(at.saturating_add(24), &outbytes.to_ne_bytes());
        for (place, rate) in (at.saturating_add(32)..).step_by(4).zip(rates) {
            // CAST: as above.
            self.u32(place, rate as u32);
        }
    }
}

/// A service as an answer has it.
pub struct ServiceEntry<'a> {
    pub key: Key,
    pub scheduler: &'a str,
    pub flags: u32,
    pub timeout: u32,
    pub netmask: [u8; 4],
    pub dests: u32,
    pub counts: [u64; 5],
    pub rates: [u64; 5],
}

impl ServiceEntry<'_> {
    pub fn bytes(&self) -> [u8; SERVICE_ENTRY_LEN] {
        let mut out = Filled::new();
        out.put(0, &self.key.proto.to_ne_bytes());
        out.put(4, &self.key.addr.octets());
        out.put(8, &self.key.port.to_be_bytes());
        out.u32(12, self.key.mark);
        let name = self.scheduler.as_bytes();
        // The last of the 16 bytes stays zero.
        out.put(16, name.get(..name.len().min(15)).unwrap_or(&[]));
        out.u32(32, self.flags);
        out.u32(36, self.timeout);
        out.put(40, &self.netmask);
        out.u32(44, self.dests);
        out.stats(48, self.counts, self.rates);
        out.0
    }
}

/// A destination as an answer has it.
pub struct DestEntry {
    pub dest: Dest,
    pub active: u32,
    pub inactive: u32,
    pub templates: u32,
    pub counts: [u64; 5],
    pub rates: [u64; 5],
}

impl DestEntry {
    pub fn bytes(&self) -> [u8; DEST_ENTRY_LEN] {
        let mut out = Filled::new();
        out.put(0, &self.dest.addr.octets());
        out.put(4, &self.dest.port.to_be_bytes());
        let dest = &self.dest;
        let numbers = [dest.flags, dest.weight, dest.upper, dest.lower];
        let numbers = numbers
            .into_iter()
            .chain([self.active, self.inactive, self.templates]);
        for (at, number) in (8..).step_by(4).zip(numbers) {
            out.u32(at, number);
        }
        out.stats(40, self.counts, self.rates);
        out.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const KEY: Key = Key {
        proto: 6,
        addr: Ipv4Addr::new(10, 0, 2, 100),
        port: 80,
        mark: 7,
    };

    /// What is in no field of 32 bytes of zeros.
    fn nonzero(bytes: &[u8]) -> Vec<(usize, u8)> {
        let all = bytes.iter().copied().enumerate();
        all.filter(|(_, byte)| *byte != 0).collect()
    }

    #[test]
    fn a_request_is_read_field_by_field() {
        let mut bytes = [0xEE; SERVICE_LEN];
        bytes[..2].copy_from_slice(&6u16.to_ne_bytes());
        bytes[4..8].copy_from_slice(&[10, 0, 2, 100]);
        bytes[8..10].copy_from_slice(&[0, 80]);
        bytes[12..16].copy_from_slice(&7u32.to_ne_bytes());
        bytes[16..32].copy_from_slice(b"wlc\0junk-and-mo\0");
        bytes[32..36].copy_from_slice(&1u32.to_ne_bytes());
        bytes[36..40].copy_from_slice(&360u32.to_ne_bytes());
        bytes[40..].copy_from_slice(&[255, 255, 255, 0]);
        let wanted = Service {
            key: KEY,
            scheduler: Some("wlc"),
            flags: 1,
            timeout: 360,
            netmask: [255, 255, 255, 0],
        };
        assert_eq!(Service::read(&bytes), wanted);
        bytes[16..32].copy_from_slice(&[b'r'; 16]);
        assert_eq!(Service::read(&bytes).scheduler, None);
        bytes[16..18].copy_from_slice(b"\xff\0");
        assert_eq!(Service::read(&bytes).scheduler, None);
    }

    #[test]
    fn a_destination_is_written_as_it_is_read() {
        let dest = Dest {
            addr: Ipv4Addr::new(10, 0, 3, 11),
            port: 8080,
            flags: 3,
            weight: 4,
            upper: 5,
            lower: 6,
        };
        let entry = DestEntry {
            dest,
            active: 7,
            inactive: 8,
            templates: 9,
            counts: [1, 2, 3, 4, 5],
            rates: [6, 7, 8, 9, 10],
        };
        let bytes = entry.bytes();
        assert_eq!(Dest::read(&bytes), dest);
        let numbers = [24, 28, 32, 36, 40, 44, 48, 52].map(|at| u32_at(&bytes, at));
        assert_eq!(numbers, [7, 8, 9, 0, 1, 2, 3, 0]);
        assert_eq!(nonzero(&bytes[56..72]), [(0, 4), (8, 5)]);
        let rates = [72, 76, 80, 84, 88, 92].map(|at| u32_at(&bytes, at));
        assert_eq!(rates, [6, 7, 8, 9, 10, 0]);
    }

    #[test]
    fn a_service_is_written_as_it_is_read() {
        let entry = ServiceEntry {
            key: KEY,
            scheduler: "a-name-that-is-too-long",
            flags: 3,
            timeout: 360,
            netmask: [255, 255, 0, 0],
            dests: 2,
            counts: [u64::MAX, 0, 0, u64::MAX, 0],
            rates: [0; 5],
        };
        let bytes = entry.bytes();
        let read = Service::read(&bytes);
        assert_eq!((read.key, read.flags, read.timeout), (KEY, 3, 360));
        assert_eq!(read.scheduler, Some("a-name-that-is-"));
        assert_eq!(u32_at(&bytes, 44), 2);
        assert_eq!((u32_at(&bytes, 48), u32_at(&bytes, 52)), (u32::MAX, 0));
        assert_eq!(
            &bytes[60..72],
            [0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]
        );
    }

    #[test]
    fn lengths_are_those_of_the_structures() {
        assert_eq!(set_len(set::ADD_DEST), Some(68));
        assert_eq!(get_len(get::DAEMON), Some(48));
        for option in [0, 1, 6, 13, 14, 16] {
            assert_eq!(set_len(option), None);
        }
        assert_eq!((get_len(5), get_len(8)), (None, None));
    }

    #[test]
    fn what_is_cut_off_reads_as_zeros() {
        for len in 0..SERVICE_LEN {
            let bytes = std::vec![1; len];
            Service::read(&bytes);
            Dest::read(&bytes);
        }
    }
}
