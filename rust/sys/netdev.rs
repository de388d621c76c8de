// SPDX-License-Identifier: GPL-2.0

//! Network devices and addresses that go.
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/linux/inetdevice.h`](srctree/include/linux/inetdevice.h),
//! [`include/net/addrconf.h`](srctree/include/net/addrconf.h)

use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::prelude::*;

use super::net::Net;
use super::netns::{self, PerNet};
use crate::ffi;

/// Data of a namespace that must know when one of its devices or addresses goes.
pub(crate) trait Departures {
    /// A device went down or away: let go of all that could hold it. May sleep.
    fn device_gone(&self);
    /// An address is this host's no more. Must not sleep.
    fn address_gone(&self);
}

/// Tells the data of type `T` of devices and addresses that go, until it is dropped. To be made after the
/// registration of `T` and dropped before it.
///
/// # Invariants
///
/// Owns what `rlvs_watch_start` returned.
pub(crate) struct Watch<T>(NonNull<ffi::rlvs_watch>, PhantomData<fn(T)>);

// SAFETY: The handle belongs to no thread.
unsafe impl<T> Send for Watch<T> {}
// SAFETY: Nothing is done with it but dropping it.
unsafe impl<T> Sync for Watch<T> {}

impl<T: PerNet + Departures> Watch<T> {
    /// Starts telling. Sleeps.
    pub(crate) fn new(_registration: &netns::Registration<T>) -> Result<Self> {
        // SAFETY: `gone::<T>` fits, and looks only at namespaces that `T` is registered in.
        let raw = unsafe { ffi::rlvs_watch_start(Some(gone::<T>)) };
        Ok(Self(NonNull::new(raw).ok_or(ENOMEM)?, PhantomData))
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        // SAFETY: Started by the type's invariant.
        unsafe { ffi::rlvs_watch_stop(self.0.as_ptr()) };
    }
}

/// Tells a namespace's data.
///
/// # Safety
///
/// Called by the kernel with a namespace that still has devices, so that its data, which goes
/// after them, is there if it has any.
unsafe extern "C" fn gone<T: PerNet + Departures>(net: *mut bindings::net, device: bool) {
    // SAFETY: By the contract.
    let net = unsafe { Net::from_raw(net) };
    if let Some(data) = netns::get::<T>(&net) {
        if device {
            data.device_gone();
        } else {
            data.address_gone();
        }
    }
}
