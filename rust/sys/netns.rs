// SPDX-License-Identifier: GPL-2.0

//! Network namespaces, and what rlvs keeps in each of them.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use kernel::bindings;
use kernel::error::{from_result, to_result};
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::Mutex;

use super::hook::{Hooked, Hooks};
use super::net::Net;
use super::time::Jiffies;
use super::worker::{Job, Worker};
use crate::ffi;

/// What is kept in each network namespace while the module is loaded.
///
/// Its hooks are registered by [`enable`].
pub(crate) trait PerNet: Hooked + Job + Send + Sync {
    /// Sets up the data of a namespace. The result may be moved once.
    fn new(net: Net) -> Result<impl PinInit<Self, Error>>;
    /// Gets the memory that a family's packets need, unless it is there. Sleeps.
    fn open(&self, v6: bool) -> Result;
}

/// The data of one namespace with what runs on it; fields stand in drop order.
///
/// # Invariants
///
/// Pinned in a box until the namespace's exit; `hooks` and `worker` refer to `value`.
#[pin_data]
struct Slot<T: PerNet> {
    #[pin]
    hooks: Mutex<Enabled<T>>,
    worker: UnsafeCell<Option<Worker<T>>>,
    #[pin]
    value: T,
}

/// What is registered for a family.
struct Family<T> {
    hooks: Hooks<T>,
    defrag: Option<Defrag6>,
}

/// What is registered, for IPv4 and IPv6.
///
/// The lock around it is waited for at the end of the namespace, when no request is left that
/// could hold it: who asks has the namespace. Under it the kernel allocates hooks, no more;
/// in particular no module is loaded, whose start would wait for namespaces that end.
type Enabled<T> = [Option<Family<T>>; 2];

/// Reassembly of IPv6 fragments, in use by a namespace.
struct Defrag6(Net);

impl Defrag6 {
    /// `None`: the kernel has none, and will have none.
    fn enable(net: Net) -> Result<Option<Self>> {
        // SAFETY: Process context, the namespace is alive.
        match to_result(unsafe { ffi::rlvs_defrag6_get(net.as_ptr()) }) {
            Ok(()) => Ok(Some(Self(net))),
            Err(ENOMEM) => Err(ENOMEM),
            Err(_) => {
                pr_warn!("nf_defrag_ipv6 is missing: IPv6 fragments are not balanced\n");
                Ok(None)
            }
        }
    }
}

impl Drop for Defrag6 {
    fn drop(&mut self) {
        // SAFETY: Taken by `enable`; the namespace is alive.
        unsafe { ffi::rlvs_defrag6_put(self.0.as_ptr()) };
    }
}

/// The number by which the kernel finds a namespace's slot.
struct Id(UnsafeCell<c_uint>);

// SAFETY: Written by `register_pernet_subsys` before anything reads it.
unsafe impl Sync for Id {}

static ID: Id = Id(UnsafeCell::new(0));

/// Where the kernel keeps the pointer to a namespace's slot.
fn place<T: PerNet>(net: Net) -> *mut *mut Slot<T> {
    // SAFETY: The id is set before any namespace is initialised (see `Id`).
    let id = unsafe { *ID.0.get() };
    // SAFETY: The id belongs to a registration with room for one pointer.
    unsafe { ffi::rlvs_net_generic(net.as_ptr(), id) }.cast()
}

/// The slot of a namespace.
fn slot<'a, T: PerNet>(net: &'a Net) -> Option<&'a Slot<T>> {
    let place = place::<T>(*net);
    // SAFETY: `init` wrote null or a live slot there; `exit` runs after all users.
    unsafe { place.as_ref()?.as_ref() }
}

/// The data of a namespace.
pub(crate) fn get<'a, T: PerNet>(net: &'a Net) -> Option<&'a T> {
    slot(net).map(|slot| &slot.value)
}

/// The worker of a namespace.
fn worker<'a, T: PerNet>(net: &'a Net) -> Option<&'a Worker<T>> {
    let slot = slot::<T>(net)?;
    // SAFETY: Written once in `init`, before the hooks and requests that call this.
    unsafe { &*slot.worker.get() }.as_ref()
}

/// Puts the next run of the namespace's worker `delay` from now; callable from softirqs.
pub(crate) fn kick<T: PerNet>(net: &Net, delay: Jiffies) {
    if let Some(worker) = worker::<T>(net) {
        worker.kick(delay);
    }
}

/// Makes the namespace's worker run within `delay`; callable from softirqs.
pub(crate) fn nudge<T: PerNet>(net: &Net, delay: Jiffies) {
    if let Some(worker) = worker::<T>(net) {
        worker.nudge(delay);
    }
}

/// Registers the hooks of a family, unless they are. Sleeps, and may load a module: to be
/// called without a lock.
pub(crate) fn enable<T: PerNet>(net: &Net, v6: bool) -> Result {
    let slot = slot::<T>(net).ok_or(ENODEV)?;
    let number = usize::from(v6);
    if slot.hooks.lock().get(number).is_some_and(Option::is_some) {
        return Ok(());
    }
    slot.value.open(v6)?;
    // Outlives the guard of the lock: if somebody else was faster it is not needed.
    let mut defrag = if v6 { Defrag6::enable(*net)? } else { None };
    let mut enabled = slot.hooks.lock();
    if let Some(place @ None) = enabled.get_mut(number) {
        let points = if v6 { T::HOOKS6 } else { T::HOOKS4 };
        // SAFETY: The value stays in its pinned slot until the hooks are gone.
        let hooks = unsafe { Hooks::register(*net, &slot.value, points) }?;
        let defrag = defrag.take();
        *place = Some(Family { hooks, defrag });
    }
    Ok(())
}

/// Keeps a `T` in every network namespace; dropping it removes them all.
pub(crate) struct Registration<T: PerNet> {
    ops: Pin<KBox<Ops>>,
    _per_net: PhantomData<T>,
}

/// The kernel's table of callbacks, at a fixed address.
struct Ops(UnsafeCell<bindings::pernet_operations>);

// SAFETY: Only the kernel touches the table once it is registered, under its own lock.
unsafe impl Send for Ops {}
// SAFETY: As above.
unsafe impl Sync for Ops {}

impl<T: PerNet> Registration<T> {
    /// Sets up every namespace there is, and from now on every new one.
    pub(crate) fn new() -> Result<Self> {
        let ops = bindings::pernet_operations {
            init: Some(init::<T>),
            pre_exit: Some(pre_exit::<T>),
            exit: Some(exit::<T>),
            id: ID.0.get(),
            size: size_of::<*mut Slot<T>>(),
            ..pin_init::zeroed()
        };
        let ops = KBox::pin(Ops(UnsafeCell::new(ops)), GFP_KERNEL)?;
        // SAFETY: The table is pinned and lives until it is unregistered.
        to_result(unsafe { ffi::register_pernet_subsys(ops.0.get()) })?;
        let _per_net = PhantomData;
        Ok(Self { ops, _per_net })
    }
}

impl<T: PerNet> Drop for Registration<T> {
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
unsafe extern "C" fn init<T: PerNet>(net: *mut bindings::net) -> c_int {
    // SAFETY: By the contract valid; the slot dies before the namespace.
    let net = unsafe { Net::from_raw(net) };
    from_result(|| {
        let value = T::new(net)?;
        let slot = KBox::try_pin_init(
            try_pin_init!(Slot::<T> {
                hooks <- new_mutex!([None, None], "rlvs::hooks"),
                worker: UnsafeCell::new(None),
                value <- value,
            }? Error),
            GFP_KERNEL,
        )?;
        // SAFETY: The slot is not moved out of its box.
        let slot = KBox::into_raw(unsafe { Pin::into_inner_unchecked(slot) });
        // SAFETY: Room for this pointer, per the registration.
        unsafe { *place::<T>(net) = slot };
        // SAFETY: The value outlives the worker: `exit` drops that first (field order).
        let worker = unsafe { Worker::new(&raw const (*slot).value) };
        match worker {
            Ok(worker) => {
                // SAFETY: Nobody else looks at the slot yet.
                unsafe { *(*slot).worker.get() = Some(worker) };
                Ok(0)
            }
            Err(e) => {
                // SAFETY: The kernel calls no exit after a failed init.
                unsafe { exit::<T>(net.as_ptr()) };
                Err(e)
            }
        }
    })
}

/// Takes the hooks of a namespace away; a grace period follows.
///
/// # Safety
///
/// Called by the kernel with a namespace that `init` was called for.
unsafe extern "C" fn pre_exit<T: PerNet>(net: *mut bindings::net) {
    // SAFETY: By the contract.
    let net = unsafe { Net::from_raw(net) };
    let Some(slot) = slot::<T>(&net) else {
        return;
    };
    // Goes after the lock.
    let mut defrag = [None, None];
    let mut enabled = slot.hooks.lock();
    for (family, defrag) in enabled.iter_mut().flatten().zip(&mut defrag) {
        family.hooks.unregister();
        *defrag = family.defrag.take();
    }
}

/// Removes the data of a namespace, which no packet and no request can reach any more.
///
/// # Safety
///
/// Called by the kernel, last, with a namespace that `init` was called for.
unsafe extern "C" fn exit<T: PerNet>(net: *mut bindings::net) {
    // SAFETY: By the contract.
    let place = place::<T>(unsafe { Net::from_raw(net) });
    // SAFETY: `init` wrote null or a box there; nobody else uses it now.
    let slot = unsafe { core::mem::replace(&mut *place, core::ptr::null_mut()) };
    if !slot.is_null() {
        // SAFETY: From `KBox::into_raw` in `init`.
        drop(unsafe { KBox::from_raw(slot) });
    }
}
