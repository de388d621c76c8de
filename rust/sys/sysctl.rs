// SPDX-License-Identifier: GPL-2.0

//! Numbers under `/proc/sys`, one set for each network namespace.
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)

use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::bindings;
use kernel::prelude::*;
use kernel::sync::Arc;

use super::net::Net;
use crate::ffi;

/// A limit of a value, which itself is in range.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// This number.
    At(u32),
    /// The present value of the one with this index.
    Of(usize),
}

/// What follows a change, in which namespace.
type Watch = (Net, fn(&Net));

/// A number that can be set.
#[repr(C)]
pub(crate) struct Value {
    /// Read and written by C, too, in one instruction.
    now: AtomicU32,
    name: &'static CStr,
    min: Bound,
    max: Bound,
    signed: bool,
    /// What follows a change, in which namespace.
    watch: Option<Watch>,
}

impl Value {
    /// One that may be negative, from `min` to `max`; its bits are those of an `i32`.
    pub(crate) const fn signed(name: &'static CStr, now: i32, min: i32, max: i32) -> Self {
        // CAST: the same bits, which C reads as an int again.
        let [now, min, max] = [now as u32, min as u32, max as u32];
        let mut value = Self::new(name, now, Bound::At(min), Bound::At(max));
        value.signed = true;
        value
    }

    /// A value that stands at `now`.
    pub(crate) const fn new(name: &'static CStr, now: u32, min: Bound, max: Bound) -> Self {
        let now = AtomicU32::new(now);
        Self {
            now,
            name,
            min,
            max,
            signed: false,
            watch: None,
        }
    }

    /// Calls `changed` after each time that somebody in `net` sets it; it may sleep.
    pub(crate) const fn watched(mut self, net: Net, changed: fn(&Net)) -> Self {
        self.watch = Some((net, changed));
        self
    }
}

/// A set of numbers.
pub(crate) struct Values<const N: usize>([Value; N]);

impl<const N: usize> Values<N> {
    pub(crate) const fn new(values: [Value; N]) -> Self {
        Self(values)
    }

    /// Number `index` of the set, 0 if there is none.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> u32 {
        self.0
            .get(index)
            .map_or(0, |value| value.now.load(Ordering::Relaxed))
    }

    /// Sets number `index`, if nobody has set another than `old`; what follows a change does not.
    pub(crate) fn swap(&self, index: usize, old: u32, new: u32) {
        if let Some(value) = self.0.get(index) {
            let _ = value
                .now
                .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Where C finds a limit.
    fn bound(&self, bound: &Bound) -> *mut c_void {
        match bound {
            Bound::At(number) => ptr::from_ref(number).cast_mut().cast(),
            Bound::Of(index) => self
                .0
                .get(*index)
                .map_or(ptr::null_mut(), |value| value.now.as_ptr().cast()),
        }
    }
}

/// A number that can only be read, worked out when it is.
pub(crate) trait Reading: 'static {
    const NAME: &'static CStr;
    fn read(net: &Net) -> u64;
}

/// A set of processors, as a list like `0-3,5`. It is written by C alone.
pub(crate) struct Cpus(KVec<c_ulong>);

impl Cpus {
    /// Those that the kernel's own threads may run on.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Always callable.
        let words = unsafe { ffi::rlvs_cpus_words() } as usize;
        let mut cpus = KVec::from_elem(0, words, GFP_KERNEL)?;
        // SAFETY: Room for as many words as it writes.
        unsafe { ffi::rlvs_cpus_default(cpus.as_mut_ptr()) };
        Ok(Self(cpus))
    }

    /// The entry that shows and sets it.
    fn setting(&self, name: &'static CStr, mode: u16) -> bindings::ctl_table {
        bindings::ctl_table {
            procname: name.as_char_ptr(),
            data: self.0.as_ptr().cast_mut().cast(),
            mode,
            proc_handler: Some(ffi::rlvs_cpus_proc),
            ..pin_init::zeroed()
        }
    }
}

/// Entries that are visible; dropping it waits for those who look at them.
///
/// # Invariants
///
/// `header` is of a registered table, which `_entries` holds.
struct Table {
    header: NonNull<bindings::ctl_table_header>,
    _entries: KVec<bindings::ctl_table>,
}

// SAFETY: The registration belongs to no thread.
unsafe impl Send for Table {}
// SAFETY: There is nothing to do with a shared reference.
unsafe impl Sync for Table {}

impl Table {
    /// Shows `entries` in the folder `path` below `/proc/sys` of `net`.
    ///
    /// # Safety
    ///
    /// What they refer to must live until the value is dropped.
    unsafe fn register(
        net: Net,
        path: &'static CStr,
        entries: KVec<bindings::ctl_table>,
    ) -> Result<Self> {
        // SAFETY: The table stays in its allocation, and by the contract what it refers to lives,
        // until it is unregistered.
        let header = unsafe {
            let (path, first) = (path.as_char_ptr(), entries.as_ptr());
            bindings::register_net_sysctl_sz(net.as_ptr(), path, first, entries.len())
        };
        // INVARIANT: Registered above.
        Ok(Self {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _entries: entries,
        })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: Registered by the type's invariant.
        unsafe { bindings::unregister_net_sysctl_table(self.header.as_ptr()) };
    }
}

/// A set of values and a reading that are visible; fields stand in drop order.
pub(crate) struct Published<R, const N: usize> {
    _table: Table,
    _values: Arc<Values<N>>,
    _cpus: Arc<Cpus>,
    _reading: PhantomData<fn(R)>,
}

impl<R: Reading, const N: usize> Published<R, N> {
    /// Shows `values`, the reading, and a list of processors called `list`, in the folder `path`
    /// below `/proc/sys` of `net`.
    pub(crate) fn new(
        net: Net,
        path: &'static CStr,
        values: Arc<Values<N>>,
        (list, cpus): (&'static CStr, Arc<Cpus>),
    ) -> Result<Self> {
        let mut table = KVec::with_capacity(N.saturating_add(2), GFP_KERNEL)?;
        table.push_within_capacity(cpus.setting(list, 0o644))?;
        for value in &values.0 {
            table.push_within_capacity(setting(&values, value, 0o644))?;
        }
        table.push_within_capacity(reading::<R>(net))?;
        Ok(Self {
            // SAFETY: What it refers to is dropped after it: the fields stand in drop order.
            _table: unsafe { Table::register(net, path, table) }?,
            _values: values,
            _cpus: cpus,
            _reading: PhantomData,
        })
    }
}

/// A set of values that are visible in one more folder; fields stand in drop order.
pub(crate) struct Mirrored<const N: usize> {
    _table: Table,
    _values: Arc<Values<N>>,
    _cpus: Option<Arc<Cpus>>,
}

impl<const N: usize> Mirrored<N> {
    /// Shows those of `values` for which `mode` says who may read and write them by their names,
    /// and a list of processors.
    pub(crate) fn new(
        net: Net,
        path: &'static CStr,
        values: Arc<Values<N>>,
        list: Option<(&'static CStr, Arc<Cpus>)>,
        mode: impl Fn(&CStr) -> Option<u16>,
    ) -> Result<Self> {
        let mut table = KVec::with_capacity(N.saturating_add(1), GFP_KERNEL)?;
        for value in &values.0 {
            if let Some(mode) = mode(value.name) {
                table.push_within_capacity(setting(&values, value, mode))?;
            }
        }
        if let Some((name, cpus)) = &list {
            if let Some(mode) = mode(name) {
                table.push_within_capacity(cpus.setting(name, mode))?;
            }
        }
        Ok(Self {
            // SAFETY: What it refers to is dropped after it: the fields stand in drop order.
            _table: unsafe { Table::register(net, path, table) }?,
            _values: values,
            _cpus: list.map(|(_, cpus)| cpus),
        })
    }
}

/// Two settings of their own kind; fields stand in drop order.
pub(crate) struct Kept {
    _table: Table,
    _pair: Arc<[AtomicU32; 2]>,
}

impl Kept {
    /// Shows two numbers called `pair`, of which the first is below the second unless that is 0;
    /// and `absent`, which is 0, and that what else it could mean is not supported.
    pub(crate) fn new(
        net: Net,
        path: &'static CStr,
        pair: &'static CStr,
        numbers: [u32; 2],
        absent: &'static CStr,
    ) -> Result<Self> {
        let numbers = Arc::new(numbers.map(AtomicU32::new), GFP_KERNEL)?;
        let mut table = KVec::with_capacity(2, GFP_KERNEL)?;
        table.push_within_capacity(bindings::ctl_table {
            procname: pair.as_char_ptr(),
            data: numbers.as_ptr().cast_mut().cast(),
            maxlen: size_of::<[AtomicU32; 2]>() as c_int,
            mode: 0o644,
            proc_handler: Some(ffi::rlvs_pair_proc),
            ..pin_init::zeroed()
        })?;
        table.push_within_capacity(bindings::ctl_table {
            procname: absent.as_char_ptr(),
            maxlen: size_of::<c_int>() as c_int,
            mode: 0o644,
            proc_handler: Some(ffi::rlvs_absent_proc),
            ..pin_init::zeroed()
        })?;
        Ok(Self {
            // SAFETY: What it refers to is dropped after it: the fields stand in drop order.
            _table: unsafe { Table::register(net, path, table) }?,
            _pair: numbers,
        })
    }
}

fn setting<const N: usize>(values: &Values<N>, value: &Value, mode: u16) -> bindings::ctl_table {
    bindings::ctl_table {
        procname: value.name.as_char_ptr(),
        // The number stands first in it.
        data: ptr::from_ref(value).cast_mut().cast(),
        maxlen: size_of::<u32>() as c_int,
        mode,
        proc_handler: Some(store),
        extra1: values.bound(&value.min),
        extra2: values.bound(&value.max),
        ..pin_init::zeroed()
    }
}

/// Shows or sets a value.
///
/// # Safety
///
/// Called by the kernel with an entry that [`setting`] made, in a table that is registered, and
/// with what `proc_douintvec_minmax` and `proc_dointvec_minmax` want.
unsafe extern "C" fn store(
    entry: *const bindings::ctl_table,
    write: c_int,
    buffer: *mut c_void,
    len: *mut usize,
    position: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By the contract the entry refers to the first field of a live `Value`.
    let value = unsafe { &*(*entry).data.cast::<Value>() };
    // SAFETY: By the contract.
    let result = unsafe {
        match value.signed {
            true => bindings::proc_dointvec_minmax(entry, write, buffer, len, position),
            false => bindings::proc_douintvec_minmax(entry, write, buffer, len, position),
        }
    };
    if let (0, true, Some((net, changed))) = (result, write != 0, value.watch) {
        changed(&net);
    }
    result
}

fn reading<R: Reading>(net: Net) -> bindings::ctl_table {
    bindings::ctl_table {
        procname: R::NAME.as_char_ptr(),
        data: net.as_ptr().cast(),
        maxlen: size_of::<u64>() as c_int,
        mode: 0o444,
        proc_handler: Some(show::<R>),
        ..pin_init::zeroed()
    }
}

/// Shows a reading.
///
/// # Safety
///
/// Called by the kernel with an entry that [`reading`] made, in a table that is registered, and
/// with what `proc_doulongvec_minmax` wants.
unsafe extern "C" fn show<R: Reading>(
    entry: *const bindings::ctl_table,
    write: c_int,
    buffer: *mut c_void,
    len: *mut usize,
    position: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By the contract; the namespace outlives the registration.
    let net = unsafe { Net::from_raw((*entry).data.cast()) };
    let mut number: c_ulong = R::read(&net) as c_ulong;
    let copy = bindings::ctl_table {
        data: (&raw mut number).cast(),
        maxlen: size_of::<c_ulong>() as c_int,
        ..pin_init::zeroed()
    };
    // SAFETY: `copy` refers to `number`, and the rest is as the kernel gave it.
    unsafe { bindings::proc_doulongvec_minmax(&copy, write, buffer, len, position) }
}
