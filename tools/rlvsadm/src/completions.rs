// SPDX-License-Identifier: GPL-2.0
//! What shells need to complete a command line, made from the options themselves, and compared with the files that
//! `make install` installs. This writes them anew:
//! `qemu/enter env BLESS=1 cargo test --manifest-path tools/rlvsadm/Cargo.toml completions`

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use clap::Arg;

use crate::args::grammar;

/// What may stand behind an option.
enum Value {
    None,
    /// One of these words.
    Words(&'static str),
    /// A service that there is.
    Service,
    /// The name of a host.
    Host,
    /// Something that nobody can guess.
    Other,
}

const SCHEDULERS: &str = "rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh twos none";
const FLAGS: &str = "sh-fallback sh-port mh-fallback mh-port flag-1 flag-2";

/// An option as shells know it.
struct Opt {
    short: Option<char>,
    long: String,
    help: String,
    value: Value,
}

impl Opt {
    fn new(arg: &Arg) -> Self {
        let long = arg.get_long().expect("every option has a long name");
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let value = match long {
            _ if !arg.get_action().takes_values() => Value::None,
            "scheduler" => Value::Words(SCHEDULERS),
            "sched-flags" => Value::Words(FLAGS),
            "tun-type" => Value::Words("ipip"),
            "pe" => Value::Words("sip"),
            "tcp-service" | "udp-service" | "fwmark-service" => Value::Service,
            "real-server" | "laddr" => Value::Host,
            _ => Value::Other,
        };
        Opt {
            short: arg.get_short(),
            long: long.to_owned(),
            help,
            value,
        }
    }

    /// `-s` and `--scheduler`, or the second alone.
    fn names(&self) -> Vec<String> {
        let short = self.short.map(|short| format!("-{short}"));
        let long = format!("--{}", self.long);
        short.into_iter().chain([long]).collect()
    }
}

fn options() -> Vec<Opt> {
    let grammar = grammar();
    let shown = grammar.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.map(Opt::new).collect()
}

const HEAD: &str = "# SPDX-License-Identifier: GPL-2.0\n# Completes the options of rlvsadm";

/// Where services come from: what follows `-t`, `-u` or `-f` in the rules.
const LISTED: &str =
    r#"rlvsadm -S -n 2>/dev/null | awk -v kind="$1" '$1 == "-A" && $2 == kind { print $3 }'"#;

fn bash() -> String {
    let names: Vec<_> = options().iter().flat_map(Opt::names).collect();
    let case = |opt: &Opt| {
        // What others have chosen is not for `-W`, which expands it.
        let offer = match opt.value {
            Value::None => return String::new(),
            Value::Words(words) => format!("-W '{words}'"),
            Value::Service => {
                let short = opt.short.unwrap_or_default();
                format!("-W \"$(_rlvsadm_services -{short})\"")
            }
            Value::Host => "-A hostname".to_owned(),
            Value::Other => "-W ''".to_owned(),
        };
        format!("    {}) offer=({offer}) ;;\n", opt.names().join(" | "))
    };
    let cases: String = options().iter().map(case).collect();
    format!(
        "{HEAD} in bash.

_rlvsadm_services() {{
    {LISTED}
}}

_rlvsadm() {{
    local offer
    case ${{COMP_WORDS[COMP_CWORD - 1]}} in
{cases}    : | =) return ;;
    *) offer=(-W '{}') ;;
    esac
    mapfile -t COMPREPLY < <(compgen \"${{offer[@]}}\" -- \"${{COMP_WORDS[COMP_CWORD]}}\")
}}

complete -F _rlvsadm rlvsadm
",
        names.join(" ")
    )
}

fn zsh() -> String {
    let line = |opt: &Opt| {
        let help = opt.help.replace('\'', "'\\''");
        let help = help.replace('[', "\\[").replace(']', "\\]");
        let value = match opt.value {
            Value::None => String::new(),
            Value::Other if opt.long == "set" => ":tcp: :tcpfin: :udp: ".to_owned(),
            Value::Words(words) => format!(":{}:({words})", opt.long),
            Value::Service => format!(
                ":service: _rlvsadm_services -{}",
                opt.short.unwrap_or_default()
            ),
            Value::Host => ":host:_hosts".to_owned(),
            Value::Other => format!(":{}: ", opt.long),
        };
        // A value may stand in the same word.
        let joined = match opt.value {
            Value::None => ["", ""],
            _ if opt.long == "set" => ["", ""],
            _ => ["+", "="],
        };
        let [plus, equals] = joined;
        let names = opt.names();
        match &names[..] {
            [short, long] => {
                let both = format!("{{{short}{plus},{long}{equals}}}");
                format!("    '({short} {long})'{both}'[{help}]{value}' \\\n")
            }
            _ => format!("    '{}{equals}[{help}]{value}' \\\n", names.join(" ")),
        }
    };
    let lines: String = options().iter().map(line).collect();
    let lines = lines.trim_end_matches(" \\\n");
    format!(
        "#compdef rlvsadm
{HEAD} in zsh.

_rlvsadm_services() {{
    compadd -- ${{(f)\"$({LISTED})\"}}
}}

_arguments -s \\
{lines}
"
    )
}

fn fish() -> String {
    let line = |opt: &Opt| {
        let short = opt.short.map(|short| format!(" -s {short}"));
        let value = match opt.value {
            Value::None => String::new(),
            Value::Words(words) => format!(" -xa '{words}'"),
            Value::Service => {
                let short = opt.short.unwrap_or_default();
                format!(" -xa '(__rlvsadm_services -{short})'")
            }
            Value::Host => " -xa '(__fish_print_hostnames)'".to_owned(),
            Value::Other => " -x".to_owned(),
        };
        let (short, long) = (short.unwrap_or_default(), &opt.long);
        let help = opt.help.replace('\\', "\\\\").replace('\'', "\\'");
        format!("complete -c rlvsadm{short} -l {long}{value} -d '{help}'\n")
    };
    let lines: String = options().iter().map(line).collect();
    let listed = LISTED.replace("\"$1\"", "$argv[1]");
    format!(
        "{HEAD} in fish.

function __rlvsadm_services
    {listed}
end

complete -c rlvsadm -f
{lines}"
    )
}

/// Compares `text` with what is in the folder of completions, or writes it there.
fn compare(name: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("completions")
        .join(name);
    if env::var_os("BLESS").is_some() {
        fs::write(&file, text).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "{name} is not that of the options: src/completions.rs says how to write it anew"
    );
}

#[test]
fn files_are_those_of_the_options() {
    compare("rlvsadm.bash", &bash());
    compare("_rlvsadm", &zsh());
    compare("rlvsadm.fish", &fish());
}

/// What bash would offer for the last word.
fn offered(words: &str) -> String {
    let script = format!(
        "{}\nCOMP_WORDS=({words})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n_rlvsadm\necho \"${{COMPREPLY[@]}}\"",
        bash()
    );
    let done = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(
        done.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[test]
fn schedulers_are_those_of_the_help() {
    let options = options();
    let option = options.iter().find(|opt| opt.long == "scheduler").unwrap();
    let named: Vec<&str> = SCHEDULERS.split(' ').collect();
    let list = option.help.replace(" or ", ", ").replace(';', ",");
    let told: Vec<&str> = list
        .split([' ', ','])
        .filter(|word| named.contains(word))
        .collect();
    assert_eq!(&told[..named.len()], named);
}

#[test]
fn bash_completes_options_and_values() {
    assert_eq!(offered("rlvsadm --add-s"), "--add-service --add-server");
    assert_eq!(offered("rlvsadm -A -s w"), "wrr wlc");
    assert_eq!(
        offered("rlvsadm -A -t 10.0.0.1:80 --sched-flags mh"),
        "mh-fallback mh-port"
    );
    assert_eq!(offered("rlvsadm -a -w 1"), "");
    assert_eq!(offered("rlvsadm --bogus"), "");
    assert!(offered("rlvsadm -").contains("-Z --zero"));
}
