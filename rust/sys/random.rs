// SPDX-License-Identifier: GPL-2.0

//! Random numbers that nobody can guess.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use kernel::bindings;

/// Random words.
pub(crate) fn words<const N: usize>() -> [u64; N] {
    // SAFETY: Callable from every context.
    core::array::from_fn(|_| unsafe { bindings::get_random_u64() })
}
