// SPDX-License-Identifier: GPL-2.0

//! Files under `/proc/net`, which are shown piece by piece: nobody waits for who reads one.
//!
//! C headers: [`include/linux/proc_fs.h`](srctree/include/linux/proc_fs.h),
//! [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)

use core::fmt::{Display, Write};
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

use super::net::Net;
use crate::ffi;
use crate::wire::listing::Line;

/// Where a listing goes on; it begins at the default.
pub(crate) type Place = [u64; 2];

/// A file.
pub(crate) trait Listing: 'static {
    /// Its name.
    const NAME: &'static CStr;
    /// Who may read it.
    const MODE: u16 = 0o444;

    /// Writes the piece at a place, a few lines; says where the next one is. A piece may be asked
    /// for twice.
    fn show(net: &Net, at: Place, out: &mut Text<'_>) -> Option<Place>;
}

/// A piece that is being written.
pub(crate) struct Text<'a>(NonNull<bindings::seq_file>, PhantomData<&'a mut ()>);

impl Text<'_> {
    /// Appends a text.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Appends a line of at most 192 bytes.
    pub(crate) fn line(&mut self, line: impl Display) {
        let mut text = Line::<192>::default();
        // What is too long is cut off.
        let _ = write!(text, "{line}");
        self.bytes(text.bytes());
    }

    /// Appends bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // SAFETY: Valid while the value is; `bytes` are only read. What finds no room is noted
        // by the kernel, which asks once more.
        unsafe { ffi::rlvs_proc_write(self.0.as_ptr(), bytes.as_ptr().cast(), bytes.len()) };
    }
}

/// A file that is there; dropping it waits for those who read it.
///
/// # Invariants
///
/// The file was added to the namespace, which outlives the value.
pub(crate) struct File {
    net: Net,
    name: &'static CStr,
}

impl File {
    /// Adds the file `L` to a namespace.
    pub(crate) fn new<L: Listing>(net: Net) -> Result<Self> {
        let name = L::NAME;
        // SAFETY: The namespace is valid; `show::<L>` fits, and is there as long as the file.
        let added = unsafe {
            ffi::rlvs_proc_add(net.as_ptr(), name.as_char_ptr(), L::MODE, Some(show::<L>))
        };
        to_result(added)?;
        // INVARIANT: It was added; who drops the value does so before the namespace goes.
        Ok(Self { net, name })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: By the type's invariant.
        unsafe { ffi::rlvs_proc_remove(self.net.as_ptr(), self.name.as_char_ptr()) };
    }
}

/// Shows a piece.
///
/// # Safety
///
/// Called by `shim_proc.c` with a file that is being read, its namespace, and two places.
unsafe extern "C" fn show<L: Listing>(
    file: *mut bindings::seq_file,
    net: *mut bindings::net,
    here: *const u64,
    next: *mut u64,
) -> bool {
    // SAFETY: By the contract; an open file holds its namespace.
    let (net, mut text) = unsafe {
        let file = NonNull::new_unchecked(file);
        (Net::from_raw(net), Text(file, PhantomData))
    };
    // SAFETY: By the contract.
    let (here, next) = unsafe { (*here.cast::<Place>(), &mut *next.cast::<Place>()) };
    let after = L::show(&net, here, &mut text);
    *next = after.unwrap_or_default();
    after.is_some()
}
