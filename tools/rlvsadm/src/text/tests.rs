// SPDX-License-Identifier: GPL-2.0
//! Listings against what ipvsadm 1.31 printed of the same tables on Linux 7.3.

use super::*;
use crate::model::Laddr;
use crate::persistence::{Mask, Persistence};
use crate::testing::{endpoint, Table};
use crate::wire::uapi::svc_flags;

fn dest(at: &str, method: Method, weight: u32) -> Dest {
    Dest {
        endpoint: endpoint(at),
        method,
        weight,
        upper: 0,
        lower: 0,
        active: 0,
        inactive: 0,
        persistent: 0,
        stats: Stats::default(),
    }
}

fn entry(protocol: Proto, at: &str, scheduler: &str, flags: u32, dests: Vec<Dest>) -> Entry {
    let endpoint = endpoint(at);
    Entry {
        service: Service {
            id: ServiceId::At { protocol, endpoint },
            scheduler: scheduler.to_owned(),
            flags: flags | 2,
            persistence: None,
            engine: None,
            label: None,
            stats: Stats::default(),
        },
        dests,
        laddrs: Vec::new(),
    }
}

fn table() -> Vec<Entry> {
    let threshold = Dest {
        upper: 200,
        lower: 100,
        ..dest("10.0.1.10:80", Method::Route, 5)
    };
    let v4 = vec![
        dest("10.0.1.2:8080", Method::Masq, 1),
        dest("10.0.1.3:80", Method::Tunnel, 65535),
        threshold,
    ];
    let v6 = vec![
        dest("[fd00:0:0:1::2]:80", Method::Masq, 1),
        dest("[fd00:0:0:1:1111:2222:3333:4444]:65535", Method::Masq, 1),
    ];
    vec![
        entry(Proto::Tcp, "10.0.0.1:80", "rr", 0, v4),
        entry(Proto::Tcp, "10.0.0.1:81", "wrr", 0x28, vec![]),
        entry(Proto::Tcp, "10.0.0.1:444", "mh", 0x18, vec![]),
        entry(Proto::Udp, "10.0.0.1:53", "sh", 0x10, vec![]),
        entry(Proto::Tcp, "[fd00::1]:80", "wlc", 0, v6),
    ]
}

fn format(view: View) -> Format {
    Format {
        view,
        numeric: true,
        ..Format::default()
    }
}

fn print(view: View) -> String {
    services(&table(), format(view), &Table)
}

#[test]
fn the_header_tells_version_and_size() {
    let info = Info {
        version: 0x01_02_01,
        table_size: 4096,
        ..Info::default()
    };
    assert_eq!(
        header(&info),
        "IP Virtual Server version 1.2.1 (size=4096)\n"
    );
}

#[test]
fn plain() {
    let expected = "\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.0.0.1:80 rr
  -> 10.0.1.2:8080                Masq    1      0          0         
  -> 10.0.1.3:80                  Tunnel  65535  0          0         
  -> 10.0.1.10:80                 Route   5      0          0         
TCP  10.0.0.1:81 wrr (flag-1,flag-3)
TCP  10.0.0.1:444 mh (mh-fallback,mh-port)
UDP  10.0.0.1:53 sh (sh-port)
TCP  [fd00::1]:80 wlc
  -> [fd00:0:0:1::2]:80           Masq    1      0          0         
  -> [fd00::1:1111:2222:3333:4444]:65535 Masq    1      0          0         
";
    assert_eq!(print(View::Plain), expected);
}

#[test]
fn tunnels() {
    let expected = "\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn
TCP  10.0.0.1:80 rr
  -> 10.0.1.2:8080                Masq    n/a           1      0          0         
  -> 10.0.1.3:80                  Tunnel  ipip          65535  0          0         
  -> 10.0.1.10:80                 Route   n/a           5      0          0         
";
    let text = services(&table()[..1], format(View::Tunnel), &Table);
    assert_eq!(text, expected);
}

#[test]
fn marks_have_no_address() {
    let marked = |mark, family, flags| {
        let mut entry = entry(Proto::Udp, "10.0.0.1:53", "sh", flags, vec![]);
        entry.service.id = ServiceId::Mark { mark, family };
        entry
    };
    let entries = [
        marked(1, Family::IPv4, 0),
        marked(u32::MAX, Family::IPv6, svc_flags::ONEPACKET),
        marked(3, Family::IPv4, svc_flags::ONEPACKET | svc_flags::PORT),
    ];
    let text = services(&entries, format(View::Plain), &Table);
    let rows: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "FWM  1 sh",
            "FWM  4294967295 IPv6 sh ops",
            "FWM  3 sh (sh-port) ops"
        ]
    );
}

#[test]
fn persistence_stands_between_the_flags_and_ops() {
    let persistent = |mask, flags| {
        let mut entry = entry(Proto::Udp, "10.0.0.1:53", "sh", flags, vec![]);
        entry.service.persistence = Some(Persistence { timeout: 300, mask });
        entry
    };
    let calls = |mask, flags| {
        let mut entry = persistent(mask, flags);
        entry.service.engine = Some("sip".to_owned());
        entry
    };
    let entries = [
        persistent(Mask::V4([255; 4].into()), 0),
        persistent(Mask::V4([255, 255, 255, 0].into()), svc_flags::PORT),
        persistent(Mask::V6(64), svc_flags::ONEPACKET),
        persistent(Mask::V6(128), svc_flags::ONEPACKET | svc_flags::PORT),
        calls(Mask::V4([255; 4].into()), 0),
        calls(Mask::V6(64), svc_flags::ONEPACKET),
    ];
    let text = services(&entries, format(View::Plain), &Table);
    let rows: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "UDP  10.0.0.1:53 sh persistent 300",
            "UDP  10.0.0.1:53 sh (sh-port) persistent 300 mask 255.255.255.0",
            "UDP  10.0.0.1:53 sh persistent 300 mask 64 ops",
            "UDP  10.0.0.1:53 sh (sh-port) persistent 300 ops",
            "UDP  10.0.0.1:53 sh persistent 300 pe sip",
            "UDP  10.0.0.1:53 sh persistent 300 mask 64 pe sip ops",
        ]
    );
}

#[test]
fn names_are_cut_where_ipvsadm_cuts_them() {
    let format = Format::default();
    let table = &table()[..1];
    let expected = "\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  vip.example.com:http rr
  -> a-rather-long-host-name-for- Masq    1      0          0         
  -> 10.0.1.3:http                Tunnel  65535  0          0         
  -> 10.0.1.10:http               Route   5      0          0         
";
    assert_eq!(services(table, format, &Table), expected);
}

#[test]
fn stats() {
    let expected = "\
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  10.0.0.1:80                         0        0        0        0        0
  -> 10.0.1.2:8080                       0        0        0        0        0
  -> 10.0.1.3:80                         0        0        0        0        0
  -> 10.0.1.10:80                        0        0        0        0        0
TCP  10.0.0.1:81                         0        0        0        0        0
TCP  10.0.0.1:444                        0        0        0        0        0
UDP  10.0.0.1:53                         0        0        0        0        0
TCP  [fd00::1]:80                        0        0        0        0        0
  -> [fd00:0:0:1::2]:80                  0        0        0        0        0
  -> [fd00::1:1111:2222:3333:4444]:65535        0        0        0        0        0
";
    assert_eq!(print(View::Stats), expected);
}

#[test]
fn rate() {
    let mut table = vec![table().swap_remove(0)];
    let stats = Stats {
        cps: 1,
        inpps: 12,
        outpps: 123_456_789,
        inbps: 123_456_789,
        outbps: 5,
        ..Stats::default()
    };
    table[0].service.stats = stats;
    table[0].dests.truncate(1);
    table[0].dests[0].stats = stats;
    let expected = "\
Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS
  -> RemoteAddress:Port
TCP  10.0.0.1:80                         1       12  123456K  123456K        5
  -> 10.0.1.2:8080                       1       12 123456789  123456K        5
";
    assert_eq!(services(&table, format(View::Rate), &Table), expected);
}

#[test]
fn thresholds() {
    let expected = "\
Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn 
  -> RemoteAddress:Port
TCP  10.0.0.1:80 rr
  -> 10.0.1.2:8080                0          0          0          0         
  -> 10.0.1.3:80                  0          0          0          0         
  -> 10.0.1.10:80                 200        100        0          0         
TCP  10.0.0.1:81 wrr (flag-1,flag-3)
TCP  10.0.0.1:444 mh (mh-fallback,mh-port)
UDP  10.0.0.1:53 sh (sh-port)
TCP  [fd00::1]:80 wlc
  -> [fd00:0:0:1::2]:80           0          0          0          0         
  -> [fd00::1:1111:2222:3333:4444]:65535 0          0          0          0         
";
    assert_eq!(print(View::Thresholds), expected);
}

#[test]
fn persistent_connections() {
    let expected = "\
Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn 
  -> RemoteAddress:Port
TCP  10.0.0.1:80 rr
  -> 10.0.1.2:8080                1         0           0          0         
  -> 10.0.1.3:80                  65535     0           0          0         
  -> 10.0.1.10:80                 5         0           0          0         
";
    let table = &table()[..1];
    assert_eq!(services(table, format(View::Persistent), &Table), expected);
}

#[test]
fn no_services_leave_the_titles() {
    let expected = "\
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
";
    assert_eq!(services(&[], Format::default(), &Table), expected);
}

#[test]
fn fullnat_has_a_name_that_fits_its_column() {
    let dests = vec![dest("10.0.1.2:8080", Method::FullNat, 1)];
    let table = [entry(Proto::Tcp, "10.0.0.1:80", "rr", 0, dests)];
    let printed = services(&table, format(View::Plain), &Table);
    let expected = "  -> 10.0.1.2:8080                FullNat 1      0          0         ";
    assert_eq!(printed.lines().last(), Some(expected));
}

#[test]
fn large_numbers_are_rounded_down_to_a_unit() {
    for (value, short, exact) in [
        (0, "        0", "        0"),
        (99_999_999, " 99999999", " 99999999"),
        (100_000_000, "  100000K", " 100000000"),
        (999_999_999, "  999999K", " 999999999"),
        (1_000_000_000, "    1000M", " 1000000000"),
        (99_999_999_999, "   99999M", " 99999999999"),
        (100_000_000_000, "     100G", " 100000000000"),
        (99_999_999_999_999, "   99999G", " 99999999999999"),
        (100_000_000_000_000, "     100T", " 100000000000000"),
        (u64::MAX, "18446744T", " 18446744073709551615"),
    ] {
        assert_eq!(number(value, false), short);
        assert_eq!(number(value, true), exact);
    }
}

fn conns() -> Vec<Conn> {
    let conn = |protocol, client, virt, dest, state: &str, expires| Conn {
        protocol,
        client: endpoint(client),
        virt: endpoint(virt),
        dest: endpoint(dest),
        local: None,
        method: Method::Masq,
        state: state.to_owned(),
        expires,
        template: client.ends_with(":0"),
        engine: None,
    };
    vec![
        conn(
            Proto::Tcp,
            "10.0.0.1:41126",
            "10.0.0.1:8080",
            "127.0.0.1:8081",
            "ESTABLISHED",
            897,
        ),
        conn(
            Proto::Udp,
            "10.0.0.1:55525",
            "10.0.0.1:5353",
            "10.0.1.1:5354",
            "UDP",
            297,
        ),
        conn(
            Proto::Tcp,
            "[fd00::1]:53784",
            "[fd00::1]:8080",
            "[::1]:8081",
            "ESTABLISHED",
            60_000,
        ),
        conn(
            Proto::Udp,
            "10.0.0.0:0",
            "10.0.0.1:0",
            "10.0.1.1:0",
            "NONE",
            42,
        ),
        conn(
            Proto::Ip,
            "[fd00:1::]:0",
            "[0:102::]:0",
            "[fd00::2]:0",
            "ASSURED",
            2_678_400,
        ),
    ]
}

#[test]
fn connection_rows() {
    let expected = "\
IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:57  ESTABLISHED 10.0.0.1:41126     10.0.0.1:8080      127.0.0.1:8081
UDP 04:57  UDP         10.0.0.1:55525     10.0.0.1:5353      10.0.1.1:5354
TCP 1000:00 ESTABLISHED [fd00::1]:53784    [fd00::1]:8080     [::1]:8081
UDP 00:42  NONE        10.0.0.0:0         10.0.0.1:0         10.0.1.1:0
IP  44640:00 ASSURED     [fd00:1::]:0       [0:102::]:0        [fd00::2]:0
";
    assert_eq!(connections(&conns(), format(View::Plain), &Table), expected);
}

#[test]
fn connections_with_columns_for_persistence() {
    let format = Format {
        persistent: true,
        ..format(View::Persistent)
    };
    let expected = "\
IPVS connection entries
pro expire state       source             virtual            destination        pe name          pe_data
";
    assert_eq!(connections(&[], format, &Table), expected);
    let mut calls = conns()[3..].to_vec();
    let engine = Some(("sip".to_owned(), "a84b@10.0.0.1".to_owned()));
    calls[0].engine = engine.clone();
    calls[1].engine = engine;
    let rows = "\
UDP 00:42  NONE        10.0.0.0:0         10.0.0.1:0         10.0.1.1:0       sip                a84b@10.0.0.1
IP  44640:00 ASSURED     [fd00:1::]:0       [0:102::]:0        [fd00::2]:0      sip                a84b@10.0.0.1
";
    let text = connections(&calls, format, &Table);
    assert_eq!(text, expected.to_owned() + rows);
    let text = connections(&calls, Format::default(), &Table);
    assert!(!text.contains("sip"), "{text}");
}

#[test]
fn totals_stand_in_the_columns_of_services() {
    let stats = Stats {
        conns: 1,
        inpkts: 20,
        outpkts: 300,
        inbytes: 4_000,
        outbytes: 5_000_000_000,
        cps: 6,
        inpps: 70,
        outpps: 800,
        inbps: 9_000,
        outbps: 10_000,
    };
    let expected = "                                     Conns   InPkts  OutPkts  InBytes OutBytes
Total                                    1       20      300     4000    5000M
                                       CPS    InPPS   OutPPS    InBPS   OutBPS
A second                                 6       70      800     9000    10000
";
    assert_eq!(totals(&Totals(stats), false), expected);
    assert!(totals(&Totals(stats), true).contains(" 5000000000\n"));
}

#[test]
fn a_local_address_does_not_change_a_row() {
    let mut conns = conns();
    let plain = connections(&conns, format(View::Plain), &Table);
    conns[0].local = Some(endpoint("10.0.1.1:5000"));
    assert_eq!(connections(&conns, format(View::Plain), &Table), plain);
}

#[test]
fn timeouts_are_one_line() {
    let printed = timeouts(&Timeouts {
        tcp: 900,
        tcp_fin: 120,
        udp: 300,
    });
    assert_eq!(printed, "Timeout (tcp tcpfin udp): 900 120 300\n");
}

#[test]
fn the_module_tells_of_refused_and_displaced_connections() {
    let printed = info(&Info {
        version: 0x01_02_01,
        table_size: 4096,
        conns: 12,
        conn_max: 1_048_576,
        drop_limit: 1,
        drop_ports: 2,
        drop_nomem: u64::MAX,
        displaced_over: 3,
        displaced_half_open: 4,
        displaced_one_way: 5,
        displaced_unconfirmed: 6,
        displaced_templates: 8,
        upkeep_runs: 7,
        module_version: "0.1.0".to_owned(),
        early: 2,
        late: [1, 2, 3, 4, 5, 6, 7, 8, 9, u64::MAX],
    });
    let expected = "\
rlvs 0.1.0 (IPVS 1.2.1)
connection table buckets                  4096
connections                                 12
connections at most                    1048576
new connections refused:
  at the most                                1
  no free port or address                    2
  no memory               18446744073709551615
connections that gave way to new ones:
  closed                                     3
  half-open                                  4
  one-way UDP                                5
  unconfirmed                                6
  templates                                  8
early path: off: there are IPsec policies, which each packet is shown to
packets of known connections that did not take it:
  SYN                                        1
  first of its side                          2
  other interface or mark                    3
  IPsec policies                             4
  no way out known                           5
  too large for the way                      6
  TTL                                        7
  options or fragments                       8
  not to be forwarded                        9
  connection tracking     18446744073709551615
";
    assert_eq!(printed, expected);
}

#[test]
fn local_addresses_stand_under_their_service() {
    let mut table = table();
    table.truncate(2);
    let laddr = |address: [u8; 4], conns, exhausted| Laddr {
        address: address.into(),
        conns,
        exhausted,
    };
    table[0].laddrs = vec![laddr([10, 0, 1, 1], 5, 0), laddr([10, 0, 1, 9], 0, 17)];
    let expected = "\
VIP:VPORT            TOTAL    LADDR                EXHAUSTED  CONNS
10.0.0.1:80          2
                              10.0.1.1             0          5
                              10.0.1.9             17         0
10.0.0.1:81          0
";
    assert_eq!(laddrs(&table, true, &Table), expected);
}
