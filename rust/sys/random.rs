// SPDX-License-Identifier: GPL-2.0

//! Random numbers that nobody can guess.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use kernel::bindings;

/// A random number.
pub(crate) fn u64() -> u64 {
    // SAFETY: Callable from every context.
    unsafe { bindings::get_random_u64() }
}
