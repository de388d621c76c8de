// SPDX-License-Identifier: GPL-2.0
//! Command lines: what each option means, and what is refused.

use super::*;
use crate::testing::{change, command, endpoint};

fn service(protocol: Proto, at: &str) -> ServiceId {
    let endpoint = endpoint(at);
    ServiceId::At { protocol, endpoint }
}

fn web() -> ServiceId {
    service(Proto::Tcp, "10.0.0.1:80")
}

fn server(at: &str, method: Method) -> ServerRule {
    ServerRule {
        endpoint: endpoint(at),
        method,
        weight: 1,
        upper: 0,
        lower: 0,
        unused_port: None,
    }
}

fn listed(line: &str) -> List {
    match command(line) {
        Ok(Command::List(list)) => list,
        other => panic!("{line}: {other:?}"),
    }
}

fn refusal(line: &str) -> String {
    command(line).unwrap_err().to_string()
}

#[test]
fn services_have_a_scheduler_and_flags() {
    let rule = |scheduler: &str, flags| ServiceRule {
        id: web(),
        scheduler: scheduler.to_owned(),
        flags,
        persistence: None,
        engine: None,
        label: None,
        unused_mask: false,
    };
    for (line, expected) in [
        ("-A -t 10.0.0.1:80", Change::AddService(rule("wlc", 0))),
        ("-A -t vip:http -s rr", Change::AddService(rule("rr", 0))),
        ("-E -t 10.0.0.1:80 -s mh -b mh-port", Change::EditService(rule("mh", 0x10))),
        (
            "--add-service --tcp-service=10.0.0.1:80 --scheduler sh --sched-flags sh-fallback,sh-port",
            Change::AddService(rule("sh", 0x18)),
        ),
        ("-D -t 10.0.0.1:80", Change::DeleteService(web())),
        ("-t 10.0.0.1:80 --delete-service", Change::DeleteService(web())),
    ] {
        assert_eq!(change(line), expected, "{line}");
    }
}

#[test]
fn services_may_be_persistent() {
    let host = Mask::V4([255; 4].into());
    for (line, timeout, mask) in [
        ("-A -t 10.0.0.1:80 -p", 360, host),
        ("-A -p 5 -t 10.0.0.1", 5, host),
        (
            "-E -u 10.0.0.1:53 --persistent=5 -M 255.255.255.0",
            5,
            Mask::V4([255, 255, 255, 0].into()),
        ),
        ("-A -M 64 -t [fd00::1]:80 -p 5", 5, Mask::V6(64)),
        ("-A -p -f 1 -6", 360, Mask::V6(128)),
    ] {
        let (Change::AddService(rule) | Change::EditService(rule)) = change(line) else {
            panic!("{line}");
        };
        assert_eq!(
            rule.persistence,
            Some(Persistence { timeout, mask }),
            "{line}"
        );
        assert_eq!(Change::AddService(rule).warning(), None, "{line}");
    }
    let alone = change("-A -t 10.0.0.1:80 -M 255.255.255.0");
    assert!(alone.warning().is_some_and(|text| text.contains("-p")));
    for line in [
        "-A -t 10.0.0.1:80 -p 5 -M 24",
        "-A -t [fd00::1]:80 -p 5 -M 129",
        "-A -t [fd00::1]:80 -p 5 -M 0",
    ] {
        assert!(refusal(line).contains("is no mask"), "{line}");
    }
    assert!(refusal("-D -t 10.0.0.1:80 -p 5").contains("no meaning"));
}

#[test]
fn persistent_services_may_have_an_engine() {
    for line in [
        "-A -u 10.0.0.1:5060 -p 60 --pe sip",
        "-A -f 7 --pe=sip -p -o",
    ] {
        let Change::AddService(rule) = change(line) else {
            panic!("{line}");
        };
        assert_eq!(rule.engine.as_deref(), Some("sip"), "{line}");
    }
    let alone = refusal("-A -u 10.0.0.1:5060 --pe sip");
    assert_eq!(alone, "--pe needs --persistent");
    let long = refusal("-E -u 10.0.0.1:5060 -p --pe a-name-of-17-byte");
    assert!(long.contains("no persistence engine's name"), "{long}");
    assert!(refusal("-D -u 10.0.0.1:5060 --pe sip").contains("no meaning"));
}

#[test]
fn services_are_of_either_protocol_and_family() {
    for (line, protocol, at) in [
        ("-D -u 10.0.0.1:53", Proto::Udp, "10.0.0.1:53"),
        ("-D --udp-service vip:domain", Proto::Udp, "10.0.0.1:53"),
        ("-D -t [fd00::1]:80", Proto::Tcp, "[fd00::1]:80"),
        ("-D -t [vip6]:http", Proto::Tcp, "[fd00::1]:80"),
        ("-D -t 10.0.0.1", Proto::Tcp, "10.0.0.1:0"),
        ("-D -t fd00::1", Proto::Tcp, "[fd00::1]:0"),
    ] {
        assert_eq!(change(line), Change::DeleteService(service(protocol, at)));
    }
}

#[test]
fn services_go_by_a_mark() {
    for (line, mark, family) in [
        ("-D -f 1", 1, Family::IPv4),
        ("-D -f 4294967295 -6", u32::MAX, Family::IPv6),
        ("-D -6 --fwmark-service=7", 7, Family::IPv6),
    ] {
        let service = ServiceId::Mark { mark, family };
        assert_eq!(change(line), Change::DeleteService(service), "{line}");
    }
    for line in [
        "-D -f 0",
        "-D -f -1",
        "-D -f 4294967296",
        "-D -f x",
        "-D -f 1 -t 10.0.0.1:80",
    ] {
        assert!(command(line).is_err(), "{line}");
    }
    assert_eq!(
        refusal("-D -t 10.0.0.1:80 -6"),
        "--ipv6 needs --fwmark-service"
    );
}

#[test]
fn servers_of_a_mark_keep_the_port_that_they_are_given() {
    let service = ServiceId::Mark {
        mark: 1,
        family: Family::IPv4,
    };
    for (line, at, unused) in [
        ("-a -f 1 -r 10.0.1.2 -m", "10.0.1.2:0", None),
        ("-a -f 1 -r 10.0.1.2:80 -m", "10.0.1.2:80", None),
        ("-a -f 1 -r 10.0.1.2 -g", "10.0.1.2:0", None),
        ("-a -f 1 -r 10.0.1.2:80 -g", "10.0.1.2:80", Some(80)),
    ] {
        let Change::AddServer(found, rule) = change(line) else {
            panic!("{line}");
        };
        assert_eq!((found, rule.endpoint), (service, endpoint(at)), "{line}");
        assert_eq!(rule.unused_port, unused, "{line}");
    }
}

#[test]
fn one_packet_scheduling_is_a_flag_of_datagrams() {
    for (line, flags) in [
        ("-A -u 10.0.0.1:53 -o", svc_flags::ONEPACKET),
        ("-A -f 1 --ops", svc_flags::ONEPACKET),
        (
            "-A -u 10.0.0.1:53 -s sh -o -b sh-port",
            svc_flags::ONEPACKET | svc_flags::PORT,
        ),
        ("-A -u 10.0.0.1:53", 0),
    ] {
        let Change::AddService(rule) = change(line) else {
            panic!("{line}");
        };
        assert_eq!(rule.flags, flags, "{line}");
    }
    assert_eq!(
        refusal("-A -t 10.0.0.1:80 -o"),
        "--ops and --tcp-service can't go together"
    );
}

#[test]
fn servers_have_a_method() {
    for (options, method) in [
        ("-m", Method::Masq),
        ("--masquerading", Method::Masq),
        ("--fullnat", Method::FullNat),
        ("-b", Method::FullNat),
    ] {
        let line = format!("-a -t 10.0.0.1:80 -r 10.0.1.2:8080 {options}");
        let expected = server("10.0.1.2:8080", method);
        assert_eq!(change(&line), Change::AddServer(web(), expected));
    }
    for (options, method) in [
        ("", Method::Route),
        ("-g", Method::Route),
        ("--gatewaying", Method::Route),
        ("-i", Method::Tunnel),
        ("--ipip", Method::Tunnel),
        ("-i --tun-type ipip", Method::Tunnel),
    ] {
        let line = format!("-e -t 10.0.0.1:80 -r 10.0.1.2:8080 {options}");
        let expected = ServerRule {
            unused_port: Some(8080),
            ..server("10.0.1.2:80", method)
        };
        assert_eq!(change(&line), Change::EditServer(web(), expected), "{line}");
    }
}

#[test]
fn servers_have_the_services_port_unless_they_have_their_own() {
    for (server, at) in [
        ("10.0.1.2", "10.0.1.2:80"),
        ("10.0.1.2:0", "10.0.1.2:0"),
        ("fd00::2", "[fd00::2]:80"),
        ("[fd00::2]", "[fd00::2]:80"),
        ("[fd00::2]:8080", "[fd00::2]:8080"),
    ] {
        let line = format!("-d -t 10.0.0.1:80 -r {server}");
        let expected = Change::DeleteServer(web(), endpoint(at));
        assert_eq!(change(&line), expected);
    }
}

#[test]
fn servers_have_a_weight_and_thresholds() {
    let rule = ServerRule {
        weight: 0,
        upper: 200,
        lower: 100,
        ..server("10.0.1.2:80", Method::Masq)
    };
    let expected = Change::AddServer(web(), rule);
    for line in [
        "-a -t 10.0.0.1:80 -r 10.0.1.2 -m -w 0 -x 200 -y 100",
        "-a -t 10.0.0.1:80 -r 10.0.1.2 -m --weight 0 --u-threshold 200 --l-threshold 100",
    ] {
        assert_eq!(change(line), expected);
    }
}

#[test]
fn local_addresses_come_and_go() {
    let v4 = IpAddr::from([10, 0, 1, 1]);
    assert_eq!(
        change("-P -t 10.0.0.1:80 -z 10.0.1.1"),
        Change::AddLaddr(web(), v4)
    );
    assert_eq!(
        change("--del-laddr -t 10.0.0.1:80 --laddr 10.0.1.1"),
        Change::DeleteLaddr(web(), v4)
    );
    let laddrs = |service, numeric, json| Command::Laddrs {
        service,
        numeric,
        json,
    };
    assert_eq!(command("-G"), Ok(laddrs(None, false, false)));
    assert_eq!(
        command("--get-laddr -t 10.0.0.1:80 -nj"),
        Ok(laddrs(Some(web()), true, true))
    );
}

#[test]
fn the_commands_about_everything() {
    assert_eq!(change("-C"), Change::Clear);
    assert_eq!(change("--clear"), Change::Clear);
    assert_eq!(change("-Z"), Change::Zero(None));
    assert_eq!(change("-Z -t 10.0.0.1:80"), Change::Zero(Some(web())));
    let timeouts = Timeouts {
        tcp: 900,
        tcp_fin: 0,
        udp: 300,
    };
    assert_eq!(change("--set 900 0 300"), Change::SetTimeouts(timeouts));
    assert_eq!(command("-R"), Ok(Command::Restore));
    assert_eq!(command("-S"), Ok(Command::Save { numeric: false }));
    assert_eq!(command("-Sn"), Ok(Command::Save { numeric: true }));
}

#[test]
fn without_a_command_the_services_are_listed() {
    let expected = List {
        what: What::Services,
        format: Format::default(),
        json: false,
    };
    for line in ["", "-L", "-l", "--list", "-L --sort", "-L --sort --sort"] {
        assert_eq!(listed(line), expected, "{line}");
    }
    assert_eq!(change("-C --sort"), Change::Clear);
}

#[test]
fn listings_show_one_thing() {
    for (line, what) in [
        ("-L -t 10.0.0.1:80", What::Service(web())),
        ("-Lnc", What::Connections),
        ("-L --connection", What::Connections),
        ("-L --timeout", What::Timeouts),
        ("-L --info", What::Info),
    ] {
        assert_eq!(listed(line).what, what);
    }
    assert!(listed("-Lj").json && listed("-L --json --info").json);
}

#[test]
fn listings_have_one_kind_of_columns() {
    for (line, view) in [
        ("-L --stats", View::Stats),
        ("-L --stats --rate --thresholds", View::Stats),
        ("-L --rate --thresholds", View::Rate),
        ("-L --thresholds --persistent-conn", View::Thresholds),
        ("-L --persistent-conn", View::Persistent),
        ("-L --persistent-conn --tun-info", View::Persistent),
        ("-L --tun-info", View::Tunnel),
    ] {
        assert_eq!(listed(line).format.view, view, "{line}");
    }
    let format = listed("-lnX --nosort").format;
    assert!(format.numeric && format.exact && format.nosort);
    assert!(listed("-Lc --persistent-conn").format.persistent);
}

#[test]
fn one_command_is_enough() {
    assert_eq!(
        refusal("-A -D -t 10.0.0.1:80"),
        "--add-service and --delete-service can't go together"
    );
    assert_eq!(refusal("-n"), "no command given");
    assert_eq!(refusal("-t 10.0.0.1:80"), "no command given");
}

#[test]
fn what_is_missing_is_named() {
    for (line, error) in [
        (
            "-A -s rr",
            "--add-service needs --tcp-service, --udp-service or --fwmark-service",
        ),
        (
            "-a -r 10.0.1.2",
            "--add-server needs --tcp-service, --udp-service or --fwmark-service",
        ),
        ("-a -t 10.0.0.1:80", "--add-server needs --real-server"),
        ("-d -t 10.0.0.1:80", "--delete-server needs --real-server"),
        ("-P -t 10.0.0.1:80", "--add-laddr needs --laddr"),
        (
            "-A -t 10.0.0.1:80 -s sh -b",
            "-b needs scheduler flags with --add-service",
        ),
        (
            "-a -t 10.0.0.1:80 -r 10.0.1.2 --tun-type ipip",
            "--tun-type needs --ipip",
        ),
    ] {
        assert_eq!(refusal(line), error);
    }
}

#[test]
fn what_has_no_meaning_is_named() {
    for (line, error) in [
        (
            "-A -t 10.0.0.1:80 -w 1",
            "--weight has no meaning with --add-service",
        ),
        (
            "-D -t 10.0.0.1:80 -n",
            "--numeric has no meaning with --delete-service",
        ),
        (
            "-C -t 10.0.0.1:80",
            "--tcp-service has no meaning with --clear",
        ),
        ("-S --exact", "--exact has no meaning with --save"),
        (
            "-S -t 10.0.0.1:80",
            "--tcp-service has no meaning with --save",
        ),
        (
            "-P -t 10.0.0.1:80 -z 10.0.1.1 -m",
            "--masquerading has no meaning with --add-laddr",
        ),
        ("-R -n", "--numeric has no meaning with --restore"),
        ("--set 1 2 3 -j", "--json has no meaning with --set"),
    ] {
        assert_eq!(refusal(line), error);
    }
}

#[test]
fn what_excludes_each_other_is_named() {
    let server = "-a -t 10.0.0.1:80 -r 10.0.1.2";
    for (line, error) in [
        (
            "-A -t 10.0.0.1:80 -u 10.0.0.1:80",
            "--tcp-service and --udp-service",
        ),
        (&format!("{server} -g -i"), "--gatewaying and --ipip"),
        (
            &format!("{server} -m --fullnat"),
            "--masquerading and --fullnat",
        ),
        (
            &format!("{server} -m -b"),
            "--masquerading and --sched-flags",
        ),
        ("-L -c --timeout", "--connection and --timeout"),
        ("-L -t 10.0.0.1:80 --timeout", "--tcp-service and --timeout"),
        ("-L -c -u 10.0.0.1:53", "--udp-service and --connection"),
        ("-L --info --timeout", "--timeout and --info"),
        ("-L -c --stats", "--connection and --stats"),
        ("-L --timeout --rate", "--timeout and --rate"),
        ("-L --info --thresholds", "--info and --thresholds"),
        ("-L --totals --stats", "--totals and --stats"),
        ("-L --totals --info", "--totals and --info"),
        ("-L --totals -t 10.0.0.1:80", "--tcp-service and --totals"),
        (
            "-L --timeout --persistent-conn",
            "--timeout and --persistent-conn",
        ),
    ] {
        assert_eq!(refusal(line), format!("{error} can't go together"));
    }
}

#[test]
fn bad_values_are_refused() {
    for line in [
        "-A -t 80",
        "-A -t nowhere:80",
        "-A -t 10.0.0.1:70000",
        "-A -t 10.0.0.1:",
        "-A -t [fd00::1:80",
        "-A -t 10.0.0.1:80 -s a-name-that-is-too-long",
        "-A -t 10.0.0.1:80 -s sh -b mh-port",
        "-A -t 10.0.0.1:80 -s sh -b bogus",
        "-a -t 10.0.0.1:80 -r 10.0.1.2 -b sh-port",
        "-a -t 10.0.0.1:80 -r 10.0.1.2 -i --tun-type gue",
        "-a -t 10.0.0.1:80 -r 10.0.1.2 -i --tun-type gre",
        "-a -t 10.0.0.1:80 -r nowhere",
        "-a -t 10.0.0.1:80 -r 10.0.1.2 -w -1",
        "-P -t 10.0.0.1:80 -z 10.0.1.1:80",
        "-P -t 10.0.0.1:80 -z 1",
    ] {
        assert!(!refusal(line).contains('\n'), "{line}");
    }
    let empty = parse(
        ["rlvsadm", "-A", "-t", "10.0.0.1:80", "-s", ""],
        &crate::testing::Table,
    );
    assert_eq!(empty, Err(Usage::Scheduler(String::new())));
}

#[test]
fn help_and_version_need_no_module() {
    assert!(matches!(command("-h"), Ok(Command::Print(_))));
    assert!(matches!(command("--version"), Ok(Command::Print(_))));
}
