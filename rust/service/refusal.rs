// SPDX-License-Identifier: GPL-2.0

//! Why the configuration was left as it was.

use kernel::alloc::AllocError;
use kernel::prelude::*;

/// An error number with a text that says what to change.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) text: &'static CStr,
}

/// What a change of the configuration comes to.
pub(crate) type Outcome<T = ()> = Result<T, Refusal>;

/// Refuses with `error`, and tells why.
pub(crate) fn refuse<T>(error: Error, text: &'static CStr) -> Outcome<T> {
    Err(Refusal { error, text })
}

/// Goes on if `fine`; otherwise as [`refuse`].
pub(crate) fn demand(fine: bool, error: Error, text: &'static CStr) -> Outcome {
    if fine {
        Ok(())
    } else {
        refuse(error, text)
    }
}

impl From<AllocError> for Refusal {
    fn from(_: AllocError) -> Self {
        Self::from(ENOMEM)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = match error {
            ENOMEM => c"out of memory",
            ENOSPC => c"all user namespaces together have so many of these that yours may have no more: remove some, and wait for what their connections hold",
            _ => c"the kernel refused",
        };
        Self { error, text }
    }
}
