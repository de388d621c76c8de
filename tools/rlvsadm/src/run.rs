// SPDX-License-Identifier: GPL-2.0
//! Carries a command line out.

use std::ffi::OsString;
use std::io::{Read, Write};

use crate::address::ServiceId;
use crate::command::{self, Command, List, What};
use crate::error::{Error, LinkError};
use crate::fetch::{self, Parts};
use crate::json;
use crate::link::Link;
use crate::model::Entry;
use crate::names::Names;
use crate::request::Request;
use crate::restore;
use crate::save;
use crate::text;

/// Reads the words of a command line, the program's name first, and does what they say.
///
/// `connect` is called once it is clear that the module is needed; rules are read from `input`, and `warn` is told,
/// a line each time, what is odd about what is done all the same.
pub fn run<I, T, L>(
    words: I,
    names: &dyn Names,
    connect: impl FnOnce() -> Result<L, LinkError>,
    input: impl Read,
    mut output: impl Write,
    mut warn: impl FnMut(String),
) -> Result<(), Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
    L: Link,
{
    let text = match command::parse(words, names)? {
        Command::Print(text) => text,
        Command::Restore => {
            let rules = restore::read(input, names)?;
            for rule in &rules {
                let text = rule.change.warning();
                text.into_iter()
                    .for_each(|text| warn(format!("line {}: {text}", rule.line)));
            }
            restore::apply(&mut connect()?, &rules)?;
            String::new()
        }
        command => {
            if let Command::Change(change) = &command {
                change.warning().into_iter().for_each(&mut warn);
            }
            execute(&mut connect()?, &command, names)?
        }
    };
    output.write_all(text.as_bytes()).map_err(Error::Output)?;
    output.flush().map_err(Error::Output)
}

/// Does what needs the module, and returns what is to be printed.
fn execute(
    link: &mut impl Link,
    command: &Command,
    names: &dyn Names,
) -> Result<String, LinkError> {
    match command {
        Command::Change(change) => link.ask(&Request::from(change)).map(|_| String::new()),
        Command::List(list) => self::list(link, list, names),
        Command::Laddrs {
            service,
            numeric,
            json,
        } => {
            let entries = sorted(link, *service, Parts::Laddrs)?;
            Ok(match json {
                true => json::laddrs(&entries),
                false => text::laddrs(&entries, *numeric, names),
            })
        }
        Command::Save { numeric } => {
            let entries = sorted(link, None, Parts::All)?;
            Ok(save::rules(&entries, *numeric, names))
        }
        Command::Restore | Command::Print(_) => Ok(String::new()),
    }
}

fn list(link: &mut impl Link, list: &List, names: &dyn Names) -> Result<String, LinkError> {
    match list.what {
        What::Services => services(link, list, None, names),
        What::Service(id) => services(link, list, Some(id), names),
        What::Connections => {
            let conns = fetch::connections(link)?;
            Ok(match list.json {
                true => json::connections(&conns),
                false => text::connections(&conns, list.format, names),
            })
        }
        What::Timeouts => {
            let timeouts = fetch::timeouts(link)?;
            Ok(match list.json {
                true => json::timeouts(&timeouts),
                false => text::timeouts(&timeouts),
            })
        }
        What::Totals => {
            let totals = fetch::totals(link)?;
            Ok(match list.json {
                true => json::totals(&totals),
                false => text::totals(&totals, list.format.exact),
            })
        }
        What::Info => {
            let info = fetch::info(link)?;
            Ok(match list.json {
                true => json::info(&info),
                false => text::info(&info),
            })
        }
    }
}

/// Lists one service or all; only all have the header.
fn services(
    link: &mut impl Link,
    list: &List,
    only: Option<ServiceId>,
    names: &dyn Names,
) -> Result<String, LinkError> {
    let info = fetch::info(link)?;
    let parts = match list.json {
        true => Parts::All,
        false => Parts::Dests,
    };
    let entries = match list.format.nosort {
        true => fetch::entries(link, only, parts)?,
        false => sorted(link, only, parts)?,
    };
    if list.json {
        let totals = fetch::totals(link)?;
        return Ok(json::table(&info, &totals, &entries));
    }
    let header = match only {
        None => text::header(&info),
        Some(_) => String::new(),
    };
    Ok(header + &text::services(&entries, list.format, names))
}

fn sorted(
    link: &mut impl Link,
    only: Option<ServiceId>,
    parts: Parts,
) -> Result<Vec<Entry>, LinkError> {
    let mut entries = fetch::entries(link, only, parts)?;
    fetch::sort(&mut entries);
    Ok(entries)
}

#[cfg(test)]
mod tests;
