// SPDX-License-Identifier: GPL-2.0

//! Why a request fails, and how the one who asked is told.

use kernel::prelude::*;

use crate::service::Refusal;
use crate::sys::genl::Request;
use crate::wire::nlattr;

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

impl Fault {
    /// A refusal by the door itself.
    pub(super) fn new(error: Error, text: &'static CStr) -> Self {
        Self::Refused(Refusal { error, text })
    }

    /// Puts the text into the answer, and gives the error number for it.
    pub(super) fn report(self, request: &Request<'_>) -> Error {
        match self {
            Self::Refused(Refusal { error, text }) => {
                request.explain(text);
                error
            }
            Self::Malformed(nest, error) => {
                request.explain_fmt(format_args!("{nest}: {error}"));
                EINVAL
            }
            Self::TooLong(most) => {
                request.explain_fmt(format_args!("a time-out must be at most {most} seconds"));
                EINVAL
            }
        }
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
