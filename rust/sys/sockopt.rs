// SPDX-License-Identifier: GPL-2.0

//! Socket options of IPv4, in the range that IPVS has.
//!
//! C header: [`include/linux/netfilter.h`](srctree/include/linux/netfilter.h)

use core::marker::PhantomData;
use kernel::bindings;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;

use super::net::Net;
use crate::ffi;

/// What is set and got. Only who has `CAP_NET_ADMIN` over the namespace gets through.
pub(crate) trait Options: 'static {
    /// Sets an option, counted from the first one; `request` is what came with it.
    fn set(net: &Net, option: u32, request: &[u8]) -> Result;

    /// Gets one into `room` bytes; `request` is what stands in them, as far as it may matter.
    fn get(net: &Net, option: u32, request: &[u8], room: usize) -> Result<Answer>;
}

/// What an option is.
pub(crate) struct Answer {
    /// At most as many as there is room.
    pub(crate) bytes: KVVec<u8>,
    /// How long the user is told that it is.
    pub(crate) len: usize,
}

/// The options are there; dropping it waits for those who use them.
pub(crate) struct Registration<O>(PhantomData<fn(O)>);

impl<O: Options> Registration<O> {
    /// Offers them in every network namespace. Only one may exist at a time.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The functions fit, and are there until the options are taken away.
        to_result(unsafe { ffi::rlvs_sockopt_register(Some(set::<O>), Some(get::<O>)) })?;
        Ok(Self(PhantomData))
    }
}

impl<O> Drop for Registration<O> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`.
        unsafe { ffi::rlvs_sockopt_unregister() };
    }
}

/// Sets an option.
///
/// # Safety
///
/// Called by `shim_sockopt.c` with the namespace of a socket and `len` bytes.
unsafe extern "C" fn set<O: Options>(
    net: *mut bindings::net,
    option: u32,
    request: *const u8,
    len: usize,
) -> c_int {
    // SAFETY: By the contract; the socket holds its namespace.
    let (net, request) = unsafe {
        let request = core::slice::from_raw_parts(request, len);
        (Net::from_raw(net), request)
    };
    from_result(|| O::set(&net, option, request).map(|()| 0))
}

/// Gets an option.
///
/// # Safety
///
/// As [`set`]; `to` is an address of the user's.
unsafe extern "C" fn get<O: Options>(
    net: *mut bindings::net,
    option: u32,
    request: *const u8,
    len: usize,
    to: *mut c_void,
    room: usize,
) -> c_int {
    // SAFETY: By the contract; the socket holds its namespace.
    let (net, request) = unsafe {
        let request = core::slice::from_raw_parts(request, len);
        (Net::from_raw(net), request)
    };
    from_result(|| {
        let answer = O::get(&net, option, request, room)?;
        let bytes = answer
            .bytes
            .get(..answer.bytes.len().min(room))
            .unwrap_or(&[]);
        // SAFETY: `bytes` are only read; the callee checks the user's address.
        to_result(unsafe { ffi::rlvs_user_write(to, bytes.as_ptr().cast(), bytes.len()) })?;
        Ok(c_int::try_from(answer.len.min(room))?)
    })
}
