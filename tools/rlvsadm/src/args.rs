// SPDX-License-Identifier: GPL-2.0
//! The options as clap sees them: ipvsadm's, those of the FULLNAT tools, and `--json` and `--info`.
//!
//! What goes with what is `command`'s business.

use std::cell::RefCell;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::error::Usage;

const USAGE: &str = "\
rlvsadm -A|-E SERVICE [-s SCHEDULER] [-p [SECONDS]] [-M MASK] [--pe ENGINE] [-b FLAGS] [-o]
       rlvsadm -D SERVICE
       rlvsadm -C
       rlvsadm -a|-e SERVICE -r SERVER [-g|-i|-m|--fullnat] [-w WEIGHT] [-x UPPER] [-y LOWER]
       rlvsadm -d SERVICE -r SERVER
       rlvsadm -P|-Q SERVICE -z ADDRESS
       rlvsadm -G [SERVICE] [-n] [-j]
       rlvsadm [-L [SERVICE|-c|--timeout|--totals|--info] [OPTIONS]]
       rlvsadm -Z [SERVICE]
       rlvsadm --recheck
       rlvsadm -S [-n]
       rlvsadm -R
       rlvsadm --set TCP TCPFIN UDP
       rlvsadm -h|-v

SERVICE is -t or -u with HOST[:PORT], or -f MARK [-6]";

/// ipvsadm's longest time-out: 31 days.
const TIMEOUT_MAX: i64 = 31 * 24 * 60 * 60;

/// Every option that is supported.
#[derive(Debug, Parser)]
#[group(skip)]
#[command(
    name = "rlvsadm",
    version,
    about = "Administers rlvs, the Linux Virtual Server as a Rust kernel module",
    override_usage = USAGE,
    disable_help_flag = true,
    disable_version_flag = true,
    next_line_help = false
)]
pub struct Args {
    #[command(flatten)]
    pub commands: Commands,
    #[command(flatten)]
    pub service: ServiceArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub listing: ListArgs,
}

/// The commands, of which one is given.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Commands")]
pub struct Commands {
    /// Add a virtual service
    #[arg(short = 'A', long)]
    pub add_service: bool,
    /// Change a virtual service
    #[arg(short = 'E', long)]
    pub edit_service: bool,
    /// Remove a virtual service and its real servers
    #[arg(short = 'D', long)]
    pub delete_service: bool,
    /// Remove everything
    #[arg(short = 'C', long)]
    pub clear: bool,
    /// Add a real server to a service
    #[arg(short = 'a', long)]
    pub add_server: bool,
    /// Change a real server; options that are not given go back to their defaults
    #[arg(short = 'e', long)]
    pub edit_server: bool,
    /// Remove a real server from a service
    #[arg(short = 'd', long)]
    pub delete_server: bool,
    /// Add a local address, for FULLNAT, to a service
    #[arg(short = 'P', long)]
    pub add_laddr: bool,
    /// Remove a local address from a service
    #[arg(short = 'Q', long)]
    pub del_laddr: bool,
    /// List the local addresses of a service or of all
    #[arg(short = 'G', long)]
    pub get_laddr: bool,
    /// List the services; the command if none is given
    #[arg(short = 'L', short_alias = 'l', long)]
    pub list: bool,
    /// Zero the counters of a service or of all
    #[arg(short = 'Z', long)]
    pub zero: bool,
    /// Let every connection pass the host's packet filter and policies again before it goes past them
    #[arg(long)]
    pub recheck: bool,
    /// Write rules that --restore reads
    #[arg(short = 'S', long)]
    pub save: bool,
    /// Read rules from standard input, a command a line
    #[arg(short = 'R', long)]
    pub restore: bool,
    /// Set the time-outs in seconds; 0 leaves one as it is
    #[arg(
        long,
        num_args = 3,
        value_names = ["TCP", "TCPFIN", "UDP"],
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(0..=TIMEOUT_MAX)
    )]
    pub set: Option<Vec<u32>>,
    /// Print this help
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// What names and describes a service.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Service")]
pub struct ServiceArgs {
    /// A TCP service; port 0, or none, is every port that has no service of its own
    #[arg(short = 't', long, value_name = "HOST[:PORT]")]
    pub tcp_service: Option<String>,
    /// A UDP service
    #[arg(short = 'u', long, value_name = "HOST[:PORT]")]
    pub udp_service: Option<String>,
    /// The service of all packets that bear a firewall mark
    #[arg(
        short = 'f',
        long,
        value_name = "MARK",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub fwmark_service: Option<u32>,
    /// With -f: packets of IPv6
    #[arg(short = '6', long, overrides_with = "ipv6")]
    pub ipv6: bool,
    /// Scheduler: rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq, fo, ovf, mh, twos or none; wlc if
    /// it is left out
    #[arg(short = 's', long, value_name = "SCHEDULER")]
    pub scheduler: Option<String>,
    /// With -A and -E: the scheduler's flags, of sh-fallback,sh-port or mh-fallback,mh-port or
    /// flag-1,flag-2. With -a and -e: --fullnat
    #[arg(short = 'b', long, value_name = "FLAGS", num_args = 0..=1)]
    pub sched_flags: Option<Option<String>>,
    /// Persistence: new connections of a client go where his last one went, for so many seconds; 360
    /// if they are left out
    #[arg(
        short = 'p',
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        value_parser = clap::value_parser!(u32).range(1..=TIMEOUT_MAX)
    )]
    pub persistent: Option<Option<u32>>,
    /// With -p: clients that this mask, or for IPv6 prefix length, does not tell apart count as one
    #[arg(short = 'M', long, value_name = "MASK")]
    pub netmask: Option<String>,
    /// With -p: persistence engine; sip: calls of a client are told apart by the Call-ID of their SIP messages
    #[arg(long, value_name = "ENGINE")]
    pub pe: Option<String>,
    /// Packets of the service get this firewall mark, of which the mask says which bits are meant; for rules that IPVS
    /// has -m ipvs for
    #[arg(long, value_name = "VALUE[/MASK]")]
    pub set_mark: Option<String>,
    /// One-packet scheduling: each datagram goes where the scheduler says, and none is remembered
    #[arg(short = 'o', long)]
    pub ops: bool,
    /// A local address of the service
    #[arg(short = 'z', long, value_name = "ADDRESS")]
    pub laddr: Option<String>,
}

/// What names and describes a real server.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Real server")]
pub struct ServerArgs {
    /// The real server; without a port it has the service's
    #[arg(short = 'r', long, value_name = "HOST[:PORT]")]
    pub real_server: Option<String>,
    /// Direct routing; the method if none is given
    #[arg(short = 'g', long)]
    pub gatewaying: bool,
    /// Tunnelling, IP in IP
    #[arg(short = 'i', long)]
    pub ipip: bool,
    /// NAT
    #[arg(short = 'm', long)]
    pub masquerading: bool,
    /// NAT of both ends, from one of the service's local addresses
    #[arg(long)]
    pub fullnat: bool,
    /// How tunnelled packets are wrapped: ipip
    #[arg(long, value_name = "TYPE")]
    pub tun_type: Option<String>,
    /// Weight; 0 gives the server no new connections
    #[arg(
        short = 'w',
        long,
        default_value_t = 1,
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(0..=i64::from(i32::MAX))
    )]
    pub weight: u32,
    /// Most connections that the server is given; 0 is no limit
    #[arg(
        short = 'x',
        long,
        value_name = "UPPER",
        default_value_t = 0,
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(0..=i64::from(i32::MAX))
    )]
    pub u_threshold: u32,
    /// Connections below which a full server is given more; 0 is three quarters of the most
    #[arg(
        short = 'y',
        long,
        value_name = "LOWER",
        default_value_t = 0,
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(0..=i64::from(i32::MAX))
    )]
    pub l_threshold: u32,
}

/// What a listing shows, and how.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Listing")]
pub struct ListArgs {
    /// Addresses and ports as numbers
    #[arg(short = 'n', long)]
    pub numeric: bool,
    /// The connections
    #[arg(short = 'c', long)]
    pub connection: bool,
    /// The time-outs
    #[arg(long)]
    pub timeout: bool,
    /// What all services have counted together, those too that were removed
    #[arg(long)]
    pub totals: bool,
    /// The version, the connection table and the connections refused
    #[arg(long)]
    pub info: bool,
    /// Connections, packets and bytes
    #[arg(long)]
    pub stats: bool,
    /// Connections, packets and bytes a second
    #[arg(long)]
    pub rate: bool,
    /// The servers' thresholds
    #[arg(long)]
    pub thresholds: bool,
    /// The servers' persistent connections
    #[arg(long)]
    pub persistent_conn: bool,
    /// How packets to the servers are wrapped
    #[arg(long)]
    pub tun_info: bool,
    /// Numbers in full
    #[arg(short = 'X', long)]
    pub exact: bool,
    /// In the module's order
    #[arg(long)]
    pub nosort: bool,
    /// Does nothing; sorted is the default
    #[arg(long, overrides_with = "sort")]
    pub sort: bool,
    /// As JSON
    #[arg(short = 'j', long)]
    pub json: bool,
}

/// How many values an option that is not supported takes.
enum Values {
    None,
    One,
}

/// ipvsadm's options that this version does not support: known, so that they can be refused by name.
const UNSUPPORTED: &[(&str, Option<char>, Values)] = &[
    ("sctp-service", None, Values::One),
    ("tun-port", None, Values::One),
    ("tun-nocsum", None, Values::None),
    ("tun-csum", None, Values::None),
    ("tun-remcsum", None, Values::None),
    ("start-daemon", None, Values::One),
    ("stop-daemon", None, Values::One),
    ("daemon", None, Values::None),
    ("syncid", None, Values::One),
    ("sync-maxlen", None, Values::One),
    ("mcast-interface", None, Values::One),
    ("mcast-group", None, Values::One),
    ("mcast-port", None, Values::One),
    ("mcast-ttl", None, Values::One),
];

fn unsupported((long, short, values): &'static (&str, Option<char>, Values)) -> Arg {
    let arg = Arg::new(*long).long(*long).short(*short).hide(true);
    match values {
        Values::None => arg.action(ArgAction::SetTrue),
        Values::One => arg.action(ArgAction::Set).num_args(0..=1),
    }
}

/// All options, also those that are refused.
pub(crate) fn grammar() -> Command {
    Args::command().args(UNSUPPORTED.iter().map(unsupported))
}

thread_local! {
    /// Made once: rules are many command lines, and to make it costs more than to read one of them.
    static GRAMMAR: RefCell<Command> = RefCell::new(grammar());
}

/// The options of one command line.
#[derive(Debug)]
pub struct Given {
    pub args: Args,
    /// The names of the fields of those that were written.
    names: Vec<String>,
}

/// What reading a command line comes to.
#[derive(Debug)]
pub enum Parsed {
    Options(Box<Given>),
    /// Help or the version, which were asked for.
    Print(String),
}

impl Given {
    /// Whether the option of this field was written.
    pub fn has(&self, field: &str) -> bool {
        self.names.iter().any(|name| name == field)
    }

    /// The fields of all options that were written.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// Reads the words of a command line, the program's name first.
pub fn read<I, T>(words: I) -> Result<Parsed, Usage>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = GRAMMAR.with_borrow_mut(|grammar| grammar.try_get_matches_from_mut(words));
    let matches = match matches {
        Ok(matches) => matches,
        Err(error) => return unread(&error),
    };
    let names = written(&matches);
    if let Some((long, ..)) = UNSUPPORTED
        .iter()
        .find(|(long, ..)| names.iter().any(|n| n == long))
    {
        return Err(Usage::Unsupported(format!("--{long}")));
    }
    let args = Args::from_arg_matches(&matches).map_err(|error| syntax(&error))?;
    Ok(Parsed::Options(Box::new(Given { args, names })))
}

/// The ids of the arguments that stand on the command line, rather than having a default.
fn written(matches: &ArgMatches) -> Vec<String> {
    let ids = matches.ids().map(|id| id.as_str());
    ids.filter(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
        .map(str::to_owned)
        .collect()
}

fn unread(error: &clap::Error) -> Result<Parsed, Usage> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Parsed::Print(error.to_string())),
        _ => Err(syntax(error)),
    }
}

/// clap's error in one line; the rest of it is usage.
fn syntax(error: &clap::Error) -> Usage {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    Usage::Syntax(line.strip_prefix("error: ").unwrap_or(line).to_owned())
}

/// The option of a field, as it is written.
pub fn option(field: &str) -> String {
    format!("--{}", field.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> Given {
        match read(line.split_whitespace()).unwrap() {
            Parsed::Options(given) => *given,
            Parsed::Print(text) => panic!("{text}"),
        }
    }

    fn refusal(line: &str) -> String {
        read(line.split_whitespace()).unwrap_err().to_string()
    }

    #[test]
    fn clap_finds_no_fault_with_the_options() {
        grammar().debug_assert();
    }

    #[test]
    fn short_options_come_in_clusters_and_in_any_order() {
        for line in [
            "rlvsadm -Ln",
            "rlvsadm -ln",
            "rlvsadm -nL",
            "rlvsadm -n --list",
        ] {
            let given = given(line);
            assert!(
                given.args.commands.list && given.args.listing.numeric,
                "{line}"
            );
            assert_eq!(given.all().count(), 2);
        }
        let given = given("rlvsadm -lnc");
        assert!(given.args.listing.connection && given.has("connection"));
    }

    #[test]
    fn values_come_in_every_spelling() {
        for line in ["x -w 5", "x -w5", "x -w=5", "x --weight 5", "x --weight=5"] {
            assert_eq!(given(line).args.server.weight, 5, "{line}");
        }
    }

    #[test]
    fn flags_may_have_a_value_or_none() {
        assert_eq!(given("x -a").args.service.sched_flags, None);
        assert_eq!(given("x -b -a").args.service.sched_flags, Some(None));
        let flags = Some(Some("sh-port".to_owned()));
        assert_eq!(given("x -b sh-port").args.service.sched_flags, flags);
    }

    #[test]
    fn defaults_are_not_taken_for_options() {
        assert!(!given("x -L").has("weight"));
        assert!(given("x -L -w 1").has("weight"));
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (option, name) in [
            ("--sctp-service 10.0.0.1:80", "--sctp-service"),
            ("--tun-port 6080", "--tun-port"),
            ("--tun-csum", "--tun-csum"),
            ("--start-daemon master", "--start-daemon"),
            ("--stop-daemon backup", "--stop-daemon"),
            ("--daemon", "--daemon"),
            ("--mcast-interface eth0", "--mcast-interface"),
        ] {
            let text = refusal(&format!("rlvsadm {option}"));
            assert_eq!(text, format!("{name} is not supported by this version"));
        }
    }

    #[test]
    fn errors_are_one_line() {
        assert_eq!(refusal("x --bogus"), "unexpected argument '--bogus' found");
        assert_eq!(refusal("x -L more"), "unexpected argument 'more' found");
        assert!(refusal("x -L -L").contains("cannot be used multiple times"));
        assert!(refusal("x -t").contains("a value is required"));
        assert!(refusal("x --set 1 2").contains("3 values required"));
        assert!(refusal("x --set 1 2 x").contains("invalid value 'x'"));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for line in [
            "x -w -1",
            "x -w 2147483648",
            "x -w 0x10",
            "x -x 2147483648",
            "x -y -5",
            "x --set 2678401 0 0",
            "x -p 0",
            "x -p 2678401",
        ] {
            assert!(refusal(line).starts_with("invalid value"), "{line}");
        }
        let seconds = |line| given(line).args.service.persistent;
        assert_eq!(seconds("x -p 2678400"), Some(Some(2_678_400)));
        assert_eq!((seconds("x -f 1 -p -6"), seconds("x")), (Some(None), None));
        assert_eq!(given("x -w 2147483647").args.server.weight, 2_147_483_647);
        assert_eq!(
            given("x --set 0 0 2678400").args.commands.set,
            Some(vec![0, 0, 2_678_400])
        );
    }

    #[test]
    fn help_and_version_are_printed() {
        for line in ["x -h", "x --help", "x -L -h"] {
            let Ok(Parsed::Print(text)) = read(line.split_whitespace()) else {
                panic!("{line}");
            };
            assert!(text.contains("--add-laddr") && !text.contains("--start-daemon"));
        }
        let Ok(Parsed::Print(text)) = read(["x", "-v"]) else {
            panic!();
        };
        assert_eq!(text, concat!("rlvsadm ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}
