// SPDX-License-Identifier: GPL-2.0

//! Why a request fails, and how the one who asked is told.

use kernel::prelude::*;

use crate::service::Refusal;
use crate::sys::genl::Request;
use crate::wire::nlattr;

/// Where attributes stand that are in no nest.
pub(super) const TOP: &str = "message";

/// Why a request fails.
pub(super) enum Fault {
    /// It asks for what can't be.
    Refused(Refusal),
    /// Its attributes are malformed, in the nest of this name.
    Malformed(&'static str, nlattr::Error),
    /// A time-out is longer than so many seconds.
    TooLong(u32),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error.into())
    }
}

impl Fault {
    /// A refusal by the door itself.
    pub(super) fn new(error: Error, text: &'static CStr) -> Self {
        Self::Refused(Refusal { error, text })
    }

    /// Its number.
    pub(super) fn number(&self) -> Error {
        match self {
            Self::Refused(refusal) => refusal.error,
            // As IPVS has it: the kernel's own checks look at what is in no nest.
            Self::Malformed(TOP, nlattr::Error::Size { .. }) => ERANGE,
            Self::Malformed(..) | Self::TooLong(_) => EINVAL,
        }
    }

    /// Puts the text into the answer, and gives the error number for it.
    pub(super) fn report(self, request: &Request<'_>) -> Error {
        match &self {
            Self::Refused(refusal) => request.explain(refusal.text),
            Self::Malformed(nest, error) => request.explain_fmt(format_args!("{nest}: {error}")),
            Self::TooLong(most) => {
                request.explain_fmt(format_args!("a time-out must be at most {most} seconds"));
            }
        }
        self.number()
    }
}

/// Says in which nest an error was found.
pub(super) trait Within<T> {
    fn within(self, nest: &'static str) -> Result<T, Fault>;
}

impl<T> Within<T> for Result<T, nlattr::Error> {
    fn within(self, nest: &'static str) -> Result<T, Fault> {
        self.map_err(|error| match error {
            nlattr::Error::Family { .. } => Fault::new(
                EAFNOSUPPORT,
                c"the address family must be IPv4 (2) or IPv6 (10)",
            ),
            error => Fault::Malformed(nest, error),
        })
    }
}
