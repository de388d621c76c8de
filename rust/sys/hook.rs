// SPDX-License-Identifier: GPL-2.0

//! Netfilter hooks.
//!
//! C header: [`include/linux/netfilter.h`](srctree/include/linux/netfilter.h)

use core::marker::PhantomData;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

use super::net::Net;
use super::place::Place;
use super::rcu::Rcu;
use super::skb::{Packet, Verdict};
use crate::ffi;

/// A function that sees the packets of one place.
pub(crate) trait Hook {
    /// What the function works on.
    type Data: Sync;
    /// Where it sits.
    const PLACE: Place;
    /// Its turn among the hooks there; lower is earlier.
    const PRIORITY: i32;
    /// Decides on a packet.
    fn run(data: &Self::Data, packet: Packet<'_>) -> Verdict;
}

/// A hook, ready to be registered with data of type `D`.
pub(crate) struct Point<D> {
    pf: u8,
    place: Place,
    priority: i32,
    call: unsafe extern "C" fn(
        *mut c_void,
        *mut bindings::sk_buff,
        *const ffi::nf_hook_state,
    ) -> c_uint,
    _data: PhantomData<fn(&D)>,
}

impl<D> Point<D> {
    /// The hook `H` for IPv4 or IPv6.
    pub(crate) const fn new<H: Hook<Data = D>>(v6: bool) -> Self {
        Self {
            pf: if v6 {
                ffi::NFPROTO_IPV6 as u8
            } else {
                ffi::NFPROTO_IPV4 as u8
            },
            place: H::PLACE,
            priority: H::PRIORITY,
            call: call::<H>,
            _data: PhantomData,
        }
    }
}

/// Data that hooks work on.
pub(crate) trait Hooked: Sized + 'static {
    /// Its hooks of IPv4.
    const HOOKS4: &'static [Point<Self>];
    /// Its hooks of IPv6.
    const HOOKS6: &'static [Point<Self>];
}

/// Calls a hook.
///
/// # Safety
///
/// Called by netfilter, inside a read-side critical section, with the data that
/// [`Hooks::register`] was given and a packet that the callee owns.
unsafe extern "C" fn call<H: Hook>(
    data: *mut c_void,
    skb: *mut bindings::sk_buff,
    state: *const ffi::nf_hook_state,
) -> c_uint {
    // SAFETY: By the contract a live `H::Data`.
    let data = unsafe { &*data.cast::<H::Data>() };
    // SAFETY: By the contract; the token stays inside this call.
    let rcu = unsafe { Rcu::assume() };
    // SAFETY: By the contract the state and its namespace are valid.
    let net = unsafe { Net::from_raw((*state).net) };
    // SAFETY: By the contract the packet is ours.
    let packet = unsafe { Packet::new(skb, net, H::PLACE, &rcu) };
    H::run(data, packet).into_raw()
}

/// Registered hooks.
///
/// [`Hooks::unregister`] removes them. The table itself goes with the value, a grace
/// period later, because those who list hooks read it under RCU alone.
pub(crate) struct Hooks<D> {
    net: Net,
    ops: KVec<ffi::nf_hook_ops>,
    registered: bool,
    _data: PhantomData<fn(&D)>,
}

// SAFETY: The table belongs to no thread.
unsafe impl<D: Sync> Send for Hooks<D> {}

impl<D: Sync> Hooks<D> {
    /// Registers `points` in `net`.
    ///
    /// # Safety
    ///
    /// `data` must live for a grace period longer than the hooks are registered, and so
    /// must the returned value.
    pub(super) unsafe fn register(net: Net, data: *const D, points: &[Point<D>]) -> Result<Self> {
        let mut ops = KVec::with_capacity(points.len(), GFP_KERNEL)?;
        for point in points {
            let entry = ffi::nf_hook_ops {
                hook: Some(point.call),
                priv_: data.cast_mut().cast(),
                pf: point.pf,
                hooknum: point.place as c_uint,
                priority: point.priority,
                ..pin_init::zeroed()
            };
            ops.push_within_capacity(entry)?;
        }
        let count = u32::try_from(ops.len())?;
        // SAFETY: The table is not moved or changed until it is unregistered.
        to_result(unsafe { ffi::nf_register_net_hooks(net.as_ptr(), ops.as_ptr(), count) })?;
        let _data = PhantomData;
        Ok(Self {
            net,
            ops,
            registered: true,
            _data,
        })
    }

    /// Takes the hooks out; packets inside them may finish for a grace period.
    pub(super) fn unregister(&mut self) {
        if !core::mem::replace(&mut self.registered, false) {
            return;
        }
        let count = self.ops.len() as u32;
        // SAFETY: Registered with this table and count.
        unsafe {
            ffi::nf_unregister_net_hooks(self.net.as_ptr(), self.ops.as_ptr(), count);
        }
    }
}
