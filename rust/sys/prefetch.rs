// SPDX-License-Identifier: GPL-2.0

//! Asking for memory before it is needed.

/// Lets the processor fetch the cache line at `address`, which need not be a valid one.
#[inline(always)]
pub(super) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: A hint: it changes nothing, and a bad address is passed over.
    unsafe {
        core::arch::asm!(
            "prefetcht0 [{}]",
            in(reg) address,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
