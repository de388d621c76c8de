// SPDX-License-Identifier: GPL-2.0
//! Command lines from their words to their output, with a module that answers as told.

use super::*;
use crate::testing::{
    conn_answer, dest_answer, info_answer, laddr_answer, service_answer, timeouts_answer,
    totals_answer, Fake, Table,
};
use crate::wire::uapi::cmd;

/// What a line prints with this module behind it, and what the module was asked.
fn tell(line: &str, mut link: Fake) -> (Result<String, Error>, Vec<u8>) {
    let command = crate::testing::command(line).unwrap();
    let result = execute(&mut link, &command, &Table).map_err(Error::from);
    (
        result,
        link.asked.iter().map(|request| request.command).collect(),
    )
}

fn printed(line: &str, link: Fake) -> String {
    tell(line, link).0.unwrap()
}

/// A service, as it is answered first.
fn service() -> Vec<Vec<u8>> {
    vec![service_answer("10.0.0.1:80", "sh", 0x12)]
}

fn dests() -> Vec<Vec<u8>> {
    vec![
        dest_answer("10.0.1.20:80", 5, 1),
        dest_answer("10.0.1.3:80", 0, 3),
    ]
}

fn laddrs() -> Vec<Vec<u8>> {
    vec![laddr_answer("10.0.1.1", 4, 5)]
}

/// What a listing of one service asks for.
fn listed() -> Fake {
    module().answer(service()).answer(dests())
}

fn module() -> Fake {
    Fake::default().answer(vec![info_answer()])
}

#[test]
fn a_listing_is_sorted_under_the_header() {
    let expected = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.0.0.1:80 sh (sh-port)
  -> 10.0.1.3:80                  Masq    3      5          6         
  -> 10.0.1.20:80                 FullNat 1      5          6         
";
    let (text, asked) = tell("-Ln", listed());
    assert_eq!(text.unwrap(), expected);
    let expected = [cmd::GET_INFO, cmd::GET_SERVICE, cmd::GET_DEST];
    assert_eq!(asked, expected);
}

#[test]
fn a_listing_of_one_service_has_no_header() {
    let text = printed("-Ln -t 10.0.0.1:80", listed());
    assert!(text.starts_with("Prot LocalAddress:Port Scheduler Flags\n"));
    let all = printed("-Ln", listed());
    assert!(all.ends_with(&text));
}

#[test]
fn unsorted_is_the_modules_order() {
    let text = printed("-Ln --nosort", listed());
    let rows: Vec<&str> = text.lines().skip(4).collect();
    assert!(rows[0].contains("10.0.1.20") && rows[1].contains("10.0.1.3"));
}

#[test]
fn counters_have_64_bits() {
    let text = printed("-Ln --stats --exact", listed());
    let row = "TCP  10.0.0.1:80                  4294967296        2        3        4        5";
    assert_eq!(text.lines().nth(3), Some(row));
}

#[test]
fn services_are_sorted_by_family_protocol_address_and_port() {
    let services = [
        "[fd00::1]:80",
        "192.168.0.1:80",
        "10.0.0.1:443",
        "10.0.0.1:80",
    ];
    let answers = services
        .iter()
        .map(|at| service_answer(at, "rr", 2))
        .collect();
    let link = module().answer(answers);
    let link = (0..4).fold(link, |link, _| link.accept());
    let text = printed("-Ln", link);
    let names: Vec<&str> = text
        .lines()
        .skip(3)
        .map(|line| &line[5..line.len() - 3])
        .collect();
    let expected = [
        "10.0.0.1:80",
        "10.0.0.1:443",
        "192.168.0.1:80",
        "[fd00::1]:80",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_service_that_vanishes_meanwhile_is_left_out() {
    let services = vec![
        service_answer("10.0.0.1:80", "rr", 2),
        service_answer("10.0.0.2:80", "rr", 2),
    ];
    let link = module()
        .answer(services)
        .refuse(libc::ESRCH, "no such service")
        .accept();
    let text = printed("-Ln", link);
    assert!(!text.contains("10.0.0.1:80") && text.contains("10.0.0.2:80"));
}

#[test]
fn other_refusals_are_passed_on() {
    let link = module().answer(vec![service_answer("10.0.0.1:80", "rr", 2)]);
    let link = link.refuse(libc::ENOMEM, "no memory");
    let error = tell("-Ln", link).0.unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.status()),
        ("no memory", 1)
    );
    let link = module().refuse(libc::ESRCH, "no such service");
    let error = tell("-Ln -t 10.0.0.1:80", link).0.unwrap_err();
    assert_eq!(error.to_string(), "no such service");
}

#[test]
fn connections_timeouts_and_the_module_are_listed() {
    let link = Fake::default().answer(vec![conn_answer(Some("10.0.1.1:5000"))]);
    let row = "TCP 14:57  ESTABLISHED 192.0.2.1:4000     10.0.0.1:80        10.0.1.2:8080";
    assert_eq!(printed("-Lnc", link).lines().last(), Some(row));
    let link = Fake::default().answer(vec![timeouts_answer()]);
    assert_eq!(
        printed("-L --timeout", link),
        "Timeout (tcp tcpfin udp): 900 120 300\n"
    );
    let link = Fake::default().answer(vec![info_answer()]);
    assert!(printed("-L --info", link).starts_with("rlvs 0.1.0 (IPVS 1.2.1)\n"));
}

#[test]
fn local_addresses_are_listed() {
    let text = printed("-Gn", Fake::default().answer(service()).answer(laddrs()));
    let expected = "\
VIP:VPORT            TOTAL    LADDR                EXHAUSTED  CONNS
10.0.0.1:80          1
                              10.0.1.1             5          4
";
    assert_eq!(text, expected);
}

#[test]
fn rules_are_saved_without_a_header() {
    let expected = "\
-A -t 10.0.0.1:80 -s sh -b sh-port
-P -t 10.0.0.1:80 -z 10.0.1.1
-a -t 10.0.0.1:80 -r 10.0.1.3:80 -m -w 3 -x 200 -y 100
-a -t 10.0.0.1:80 -r 10.0.1.20:80 --fullnat -w 1 -x 200 -y 100
";
    let link = Fake::default()
        .answer(service())
        .answer(dests())
        .answer(laddrs());
    assert_eq!(printed("-Sn", link), expected);
}

#[test]
fn changes_are_asked_for_and_print_nothing() {
    let (text, asked) = tell("-A -t 10.0.0.1:80", Fake::default().accept());
    assert_eq!(
        (text.unwrap().as_str(), &asked[..]),
        ("", &[cmd::NEW_SERVICE][..])
    );
    let link = Fake::default().refuse(libc::EEXIST, "there is such a service");
    let error = tell("-A -t 10.0.0.1:80", link).0.unwrap_err();
    assert_eq!(error.to_string(), "there is such a service");
}

fn json(line: &str, link: Fake) -> serde_json::Value {
    serde_json::from_str(&printed(line, link)).unwrap()
}

#[test]
fn services_as_json() {
    let totals = vec![totals_answer()];
    let table = json("-Lj", listed().answer(laddrs()).answer(totals));
    assert_eq!(table["totals"]["outbps"], 10);
    assert_eq!(
        (&table["version"], &table["size"]),
        (&"1.2.1".into(), &4096.into())
    );
    let service = &table["services"][0];
    assert_eq!(service["protocol"], "TCP");
    assert_eq!(
        (&service["address"], &service["port"]),
        (&"10.0.0.1".into(), &80.into())
    );
    assert_eq!(service["scheduler"], "sh");
    assert_eq!(service["flags"], serde_json::json!(["sh-port"]));
    assert_eq!(service["stats"]["conns"], 1u64 << 32);
    assert_eq!(service["local_addresses"][0]["exhausted"], 5);
    let dest = &service["destinations"][1];
    assert_eq!(
        (&dest["address"], &dest["forward"]),
        (&"10.0.1.20".into(), &"fullnat".into())
    );
    assert_eq!(
        (&dest["weight"], &dest["upper_threshold"]),
        (&1.into(), &200.into())
    );
    assert_eq!(dest["active_connections"], 5);
}

#[test]
fn the_other_listings_as_json() {
    let link = Fake::default().answer(vec![conn_answer(None), conn_answer(Some("10.0.1.1:5000"))]);
    let conns = json("-Lcj", link);
    assert_eq!(conns[0].get("local"), None);
    assert_eq!(
        conns[1]["local"],
        serde_json::json!({"address": "10.0.1.1", "port": 5000})
    );
    assert_eq!(
        (&conns[1]["state"], &conns[1]["expires"]),
        (&"ESTABLISHED".into(), &897.into())
    );
    assert_eq!(conns[1]["virtual"]["port"], 80);
    let timeouts = json(
        "-Lj --timeout",
        Fake::default().answer(vec![timeouts_answer()]),
    );
    assert_eq!(
        timeouts,
        serde_json::json!({"tcp": 900, "tcp_fin": 120, "udp": 300})
    );
    let totals = json(
        "-Lj --totals",
        Fake::default().answer(vec![totals_answer()]),
    );
    assert_eq!(
        (&totals["conns"], &totals["cps"]),
        (&(1u64 << 32).into(), &6.into())
    );
    let info = json("-Lj --info", Fake::default().answer(vec![info_answer()]));
    assert_eq!(
        (&info["refused_ports"], &info["module_version"]),
        (&2.into(), &"0.1.0".into())
    );
    let displaced = ["over", "half_open", "one_way", "unconfirmed", "templates"];
    assert_eq!(
        displaced.map(|kind| &info[format!("displaced_{kind}")]),
        [4, 5, 6, 7, 8].map(serde_json::Value::from).each_ref()
    );
    let early = (
        &info["early_path"],
        &info["early"]["syn"],
        &info["early"]["tracking"],
    );
    assert_eq!(early, (&"on".into(), &5.into(), &7.into()));
    let laddrs = json("-Gj", Fake::default().answer(service()).answer(laddrs()));
    assert_eq!(laddrs[0]["port"], 80);
    assert_eq!(laddrs[0]["local_addresses"][0]["address"], "10.0.1.1");
}

fn run_line(line: &str, input: &str, link: Result<Fake, LinkError>) -> (Result<(), Error>, String) {
    let (result, output, _) = run_warned(line, input, link);
    (result, output)
}

fn run_warned(
    line: &str,
    input: &str,
    link: Result<Fake, LinkError>,
) -> (Result<(), Error>, String, Vec<String>) {
    let (mut output, mut warnings) = (Vec::new(), Vec::new());
    let words = std::iter::once("rlvsadm").chain(line.split_whitespace());
    let warn = |text| warnings.push(text);
    let result = run(words, &Table, || link, input.as_bytes(), &mut output, warn);
    (result, String::from_utf8(output).unwrap(), warnings)
}

#[test]
fn a_port_that_is_not_used_is_warned_of_once_a_line() {
    let warned = |line: &str, input: &str, times: usize| {
        let link = (0..times.max(1)).fold(Fake::default(), |fake, _| fake.accept());
        let (result, output, warnings) = run_warned(line, input, Ok(link));
        assert!(result.is_ok() && output.is_empty(), "{line}");
        assert_eq!(warnings.len(), times, "{line}: {warnings:?}");
        warnings
    };
    for method in ["-g", "-i", ""] {
        let line = format!("-a -t 10.0.0.1:80 -r 10.0.1.2:8080 {method}");
        let text = warned(&line, "", 1).remove(0);
        assert!(text.contains("80,") && text.ends_with("not 8080"), "{text}");
        warned(&line.replace("-a", "-e"), "", 1);
        warned(&line.replace(":8080", ":80"), "", 0);
        warned(&line.replace(":8080", ""), "", 0);
    }
    warned("-a -t 10.0.0.1:80 -r 10.0.1.2:8080 -m", "", 0);
    warned("-a -t 10.0.0.1:0 -r 10.0.1.2:8080 -g", "", 1);
    let rules = "-a -t 10.0.0.1:80 -r 10.0.1.2:81 -g\n\n-a -t 10.0.0.1:80 -r 10.0.1.3:82 -i\n";
    let both = warned("-R", rules, 2);
    assert!(both[0].starts_with("line 1: ") && both[1].starts_with("line 3: "));
}

#[test]
fn help_and_usage_errors_come_without_the_module() {
    let (result, output) = run_line("-h", "", Err(LinkError::NotLoaded));
    assert!(result.is_ok() && output.contains("Usage:"));
    let (result, output) = run_line("-A", "", Err(LinkError::NotLoaded));
    assert_eq!((result.unwrap_err().status(), output.as_str()), (2, ""));
}

#[test]
fn a_missing_module_is_named_with_the_remedy() {
    let (result, _) = run_line("-L", "", Err(LinkError::NotLoaded));
    let error = result.unwrap_err();
    assert!(error.to_string().contains("modprobe rlvs"));
    assert_eq!(error.status(), 1);
}

#[test]
fn nothing_is_done_with_rules_of_which_one_is_wrong() {
    let (result, _) = run_line("-R", "-C\n-A -x\n", Ok(Fake::default()));
    assert!(result.unwrap_err().to_string().starts_with("line 2: "));
    let (result, _) = run_line("-R", "-C\n", Ok(Fake::default().accept()));
    assert!(result.is_ok());
}

/// Takes nothing.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn output_that_nobody_takes_is_an_error() {
    let link = || Ok(Fake::default().answer(vec![timeouts_answer()]));
    let words = ["rlvsadm", "-L", "--timeout"];
    let error = run(words, &Table, link, std::io::empty(), Full, |_| {}).unwrap_err();
    assert!(matches!(error, Error::Output(_)) && error.status() == 1);
}
