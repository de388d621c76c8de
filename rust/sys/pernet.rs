// SPDX-License-Identifier: GPL-2.0

//! More that is kept in each network namespace, above what `netns` keeps: it comes after that, and goes before it.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ptr;
use kernel::bindings;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;

use super::net::Net;
use super::netns;
use crate::ffi;

/// What is kept in each namespace, by one registration at a time.
pub(crate) trait Local: Send + Sync + Sized + 'static {
    /// Sets it up.
    fn new(net: Net) -> Result<Self>;
}

/// The number by which the kernel finds a namespace's.
struct Id(UnsafeCell<c_uint>);

// SAFETY: Written by `register_pernet_subsys` before anything reads it.
unsafe impl Sync for Id {}

static ID: Id = Id(UnsafeCell::new(0));

/// Where the kernel keeps the pointer to a namespace's.
fn place<T>(net: Net) -> *mut *mut T {
    // SAFETY: The id is set before any namespace is initialised (see `Id`).
    let id = unsafe { *ID.0.get() };
    // SAFETY: The id belongs to a registration with room for one pointer.
    unsafe { ffi::rlvs_net_generic(net.as_ptr(), id) }.cast()
}

/// Keeps a `T` in every network namespace; dropping it removes them all.
pub(crate) struct Registration<T: Local> {
    ops: Pin<KBox<Ops>>,
    _local: PhantomData<T>,
}

/// The kernel's table of callbacks, at a fixed address.
struct Ops(UnsafeCell<bindings::pernet_operations>);

// SAFETY: Only the kernel touches the table once it is registered, under its own lock.
unsafe impl Send for Ops {}
// SAFETY: As above.
unsafe impl Sync for Ops {}

impl<T: Local> Registration<T> {
    /// Sets up every namespace there is, and from now on every new one, each after what `netns`
    /// keeps in it.
    pub(crate) fn new<B: netns::PerNet>(_below: &netns::Registration<B>) -> Result<Self> {
        let ops = bindings::pernet_operations {
            init: Some(init::<T>),
            exit: Some(exit::<T>),
            id: ID.0.get(),
            size: size_of::<*mut T>(),
            ..pin_init::zeroed()
        };
        let ops = KBox::pin(Ops(UnsafeCell::new(ops)), GFP_KERNEL)?;
        // SAFETY: The table is pinned and lives until it is unregistered.
        to_result(unsafe { ffi::register_pernet_subsys(ops.0.get()) })?;
        let _local = PhantomData;
        Ok(Self { ops, _local })
    }
}

impl<T: Local> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`.
        unsafe { ffi::unregister_pernet_subsys(self.ops.0.get()) };
    }
}

/// Sets up a namespace.
///
/// # Safety
///
/// Called by the kernel with a namespace that is being made.
unsafe extern "C" fn init<T: Local>(net: *mut bindings::net) -> c_int {
    // SAFETY: By the contract valid; what is made dies before the namespace.
    let net = unsafe { Net::from_raw(net) };
    from_result(|| {
        let value = KBox::new(T::new(net)?, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: Room for this pointer, per the registration.
        unsafe { *place::<T>(net) = KBox::into_raw(value) };
        Ok(0)
    })
}

/// Removes what a namespace has.
///
/// # Safety
///
/// Called by the kernel with a namespace that `init` was called for.
unsafe extern "C" fn exit<T: Local>(net: *mut bindings::net) {
    // SAFETY: By the contract.
    let place = place::<T>(unsafe { Net::from_raw(net) });
    // SAFETY: `init` wrote a box there, or nothing; nobody else uses it now.
    let value = unsafe { core::mem::replace(&mut *place, ptr::null_mut()) };
    if !value.is_null() {
        // SAFETY: From `KBox::into_raw` in `init`.
        drop(unsafe { KBox::from_raw(value) });
    }
}
