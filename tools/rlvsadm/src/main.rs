// SPDX-License-Identifier: GPL-2.0
//! rlvsadm: administers rlvs, the Linux Virtual Server as a Rust kernel module.

use std::io;
use std::process::ExitCode;

use rlvsadm::error::Error;
use rlvsadm::names::System;
use rlvsadm::netlink::Netlink;
use rlvsadm::run::run;
use rlvsadm::wire::uapi;

fn main() -> ExitCode {
    let connect = || Netlink::open(uapi::FAMILY);
    match run(
        std::env::args_os(),
        &System,
        connect,
        io::stdin(),
        io::stdout(),
        |text| eprintln!("rlvsadm: {text}"),
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.status())
        }
    }
}

/// Says what went wrong, except to a reader who has already left.
fn report(error: &Error) {
    match error {
        Error::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => {}
        Error::Usage(_) => {
            eprintln!("rlvsadm: {error}\nTry `rlvsadm -h' for more information.");
        }
        _ => eprintln!("rlvsadm: {error}"),
    }
}
