// SPDX-License-Identifier: GPL-2.0

//! Generic netlink: a family with its commands, requests, replies and dumps.
//!
//! C header: [`include/net/genetlink.h`](srctree/include/net/genetlink.h)

use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::{from_result, to_result};
use kernel::prelude::*;
use kernel::types::Opaque;

use super::net::Net;
use crate::ffi;

/// Bytes before the attributes: `struct nlmsghdr` and `struct genlmsghdr`.
const HEADERS_LEN: usize = size_of::<bindings::nlmsghdr>() + size_of::<bindings::genlmsghdr>();

/// How a command can be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As a request with one answer.
    Do,
    /// As a dump.
    Dump,
    /// Either way.
    Both,
}

/// Over what one must have `CAP_NET_ADMIN` to get through to a family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guarded {
    /// The network namespace.
    Namespace,
    /// The machine.
    Machine,
}

/// A family and what it does.
pub(crate) trait Family: 'static {
    /// At most 15 bytes.
    const NAME: &'static CStr;
    /// The version that the family announces.
    const VERSION: u8;
    /// Who may use it.
    const GUARDED: Guarded;
    /// Its commands, each once.
    const COMMANDS: &'static [(u8, Mode)];

    /// Answers a request.
    fn run(request: &Request<'_>) -> Result;

    /// Looks at the request for a dump, before its first part.
    fn check(request: &Request<'_>) -> Result;

    /// Fills one part of a dump, until all is told, or with `EMSGSIZE` until it is full.
    fn dump(dump: &mut Dump<'_>) -> Result;
}

/// A message from user space, with access to its answer.
pub(crate) struct Request<'a> {
    info: NonNull<bindings::genl_info>,
    _info: PhantomData<&'a bindings::genl_info>,
}

impl Request<'_> {
    /// Wraps what the kernel hands to a callback.
    ///
    /// # Safety
    ///
    /// `info` must be valid, with its message, while the value is used.
    unsafe fn from_raw(info: *mut bindings::genl_info) -> Self {
        // SAFETY: Valid by the contract.
        let info = unsafe { NonNull::new_unchecked(info) };
        Self {
            info,
            _info: PhantomData,
        }
    }

    fn info(&self) -> &bindings::genl_info {
        // SAFETY: Valid as long as the value, by the contract of `from_raw`.
        unsafe { self.info.as_ref() }
    }

    /// The command's number.
    pub(crate) fn command(&self) -> u8 {
        // SAFETY: The core has checked that the header is there.
        unsafe { (*self.info().genlhdr).cmd }
    }

    /// The namespace of the socket that asks.
    pub(crate) fn net(&self) -> Net {
        // SAFETY: The socket holds its namespace, and the socket outlives the request.
        unsafe { Net::from_raw(ffi::rlvs_genl_net(self.info.as_ptr())) }
    }

    /// The attributes, as they came.
    pub(crate) fn attributes(&self) -> &[u8] {
        let message = self.info().nlhdr;
        // SAFETY: The core has checked that the message is complete and has both headers.
        unsafe {
            let len = ((*message).nlmsg_len as usize).saturating_sub(HEADERS_LEN);
            core::slice::from_raw_parts(message.cast::<u8>().add(HEADERS_LEN), len)
        }
    }

    /// Attaches a text to the refusal that follows.
    pub(crate) fn explain(&self, text: &'static CStr) {
        // SAFETY: Null, or valid while the request is.
        if let Some(extack) = unsafe { self.info().extack.as_mut() } {
            extack._msg = text.as_char_ptr();
        }
    }

    /// As [`Self::explain`]; cuts the text off after 79 bytes.
    pub(crate) fn explain_fmt(&self, text: fmt::Arguments<'_>) {
        // SAFETY: Null, or valid while the request is.
        if let Some(extack) = unsafe { self.info().extack.as_mut() } {
            let mut buffer = Buffer::new(&mut extack._msg_buf);
            // A text that was cut off is still a text.
            let _ = buffer.write_fmt(text);
            extack._msg = extack._msg_buf.as_ptr();
        }
    }

    /// Answers with one message of `command`, which `fill` writes.
    pub(crate) fn reply(
        &self,
        command: u8,
        fill: impl FnOnce(&mut Message<'_>) -> Result,
    ) -> Result {
        // SAFETY: Callable from process context.
        let raw = NonNull::new(unsafe { ffi::rlvs_genl_new() }).ok_or(ENOMEM)?;
        let buffer = Owned(raw);
        let info = self.info();
        // SAFETY: The buffer is ours; the family is registered while a request runs.
        let header = unsafe {
            bindings::genlmsg_put(
                raw.as_ptr(),
                info.snd_portid,
                info.snd_seq,
                info.family,
                0,
                command,
            )
        };
        // SAFETY: `header` is null or stands in the buffer.
        unsafe { Message::write(&buffer, header, fill) }?;
        core::mem::forget(buffer);
        // SAFETY: The message is complete; the callee takes the buffer.
        to_result(unsafe { ffi::rlvs_genl_reply(raw.as_ptr(), self.info.as_ptr()) })
    }
}

/// Writes a text into the kernel's buffer, always with a NUL at its end.
struct Buffer<'a> {
    rest: &'a mut [c_char],
}

impl<'a> Buffer<'a> {
    fn new(buffer: &'a mut [c_char]) -> Self {
        buffer.fill(0);
        let len = buffer.len().saturating_sub(1);
        Self {
            rest: buffer.get_mut(..len).unwrap_or_default(),
        }
    }
}

impl Write for Buffer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.rest.len();
        let rest = core::mem::take(&mut self.rest);
        for (place, byte) in rest.iter_mut().zip(text.bytes()) {
            *place = byte;
        }
        self.rest = rest.get_mut(text.len()..).unwrap_or_default();
        if text.len() > room {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// A buffer for a message that is not sent yet.
struct Owned(NonNull<bindings::sk_buff>);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: Ours until it is sent.
        unsafe { ffi::rlvs_genl_free(self.0.as_ptr()) };
    }
}

/// A message that is being written. All methods fail with `EMSGSIZE` when it is full.
pub(crate) struct Message<'a> {
    buffer: NonNull<bindings::sk_buff>,
    _buffer: PhantomData<&'a mut Owned>,
}

impl<'a> Message<'a> {
    /// Lets `fill` write what follows `header`, or takes the header back.
    ///
    /// # Safety
    ///
    /// `header` must be null or what `genlmsg_put` returned for `buffer`.
    unsafe fn write(
        buffer: &'a Owned,
        header: *mut c_void,
        fill: impl FnOnce(&mut Message<'a>) -> Result,
    ) -> Result {
        if header.is_null() {
            return Err(EMSGSIZE);
        }
        let mut message = Self {
            buffer: buffer.0,
            _buffer: PhantomData,
        };
        let result = fill(&mut message);
        // SAFETY: By the contract the header stands in the buffer.
        unsafe {
            match result {
                Ok(()) => ffi::rlvs_genl_end(buffer.0.as_ptr(), header),
                Err(_) => ffi::rlvs_genl_cancel(buffer.0.as_ptr(), header),
            }
        }
        result
    }

    /// Appends an attribute of any bytes.
    pub(crate) fn bytes(&mut self, kind: u16, payload: &[u8]) -> Result {
        let len = c_int::from(u16::try_from(payload.len())?);
        let data = payload.as_ptr().cast();
        // SAFETY: The buffer is valid and writable; `data` has `len` bytes.
        to_result(unsafe { bindings::nla_put(self.buffer.as_ptr(), kind.into(), len, data) })
    }

    /// Appends a byte.
    pub(crate) fn u8(&mut self, kind: u16, value: u8) -> Result {
        self.bytes(kind, &[value])
    }

    /// Appends a u16 in the host's byte order.
    pub(crate) fn u16(&mut self, kind: u16, value: u16) -> Result {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Appends a big-endian u16.
    pub(crate) fn be16(&mut self, kind: u16, value: u16) -> Result {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Appends a u32 in the host's byte order.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) -> Result {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Appends a u64 in the host's byte order.
    pub(crate) fn u64(&mut self, kind: u16, value: u64) -> Result {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Appends a string of at most 31 bytes, with a NUL.
    pub(crate) fn str(&mut self, kind: u16, text: &str) -> Result {
        let mut buffer = [0; 32];
        let place = buffer.get_mut(..text.len()).ok_or(EMSGSIZE)?;
        place.copy_from_slice(text.as_bytes());
        let end = text.len().saturating_add(1);
        self.bytes(kind, buffer.get(..end).ok_or(EMSGSIZE)?)
    }

    /// Appends a nest, which `fill` writes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self) -> Result) -> Result {
        // SAFETY: The buffer is valid and writable.
        let nest = unsafe { ffi::rlvs_nest_start(self.buffer.as_ptr(), kind.into()) };
        if nest.is_null() {
            return Err(EMSGSIZE);
        }
        fill(self)?;
        // SAFETY: Started above in the same buffer; after an error the whole message goes.
        unsafe { ffi::rlvs_nest_end(self.buffer.as_ptr(), nest) };
        Ok(())
    }
}

/// One part of a dump.
pub(crate) struct Dump<'a> {
    request: Request<'a>,
    callback: NonNull<bindings::netlink_callback>,
    buffer: core::mem::ManuallyDrop<Owned>,
}

impl<'a> Dump<'a> {
    /// Wraps what the kernel hands to a callback.
    ///
    /// # Safety
    ///
    /// `buffer` and `callback` must be valid while the value is used, the latter with the
    /// core's `genl_dumpit_info`.
    unsafe fn from_raw(
        buffer: *mut bindings::sk_buff,
        callback: *mut bindings::netlink_callback,
    ) -> Self {
        // SAFETY: By the contract.
        unsafe {
            Self {
                request: Request::from_raw(ffi::rlvs_genl_dump_info(callback)),
                callback: NonNull::new_unchecked(callback),
                buffer: core::mem::ManuallyDrop::new(Owned(NonNull::new_unchecked(buffer))),
            }
        }
    }

    /// What asked for the dump.
    pub(crate) fn request(&self) -> &Request<'a> {
        &self.request
    }

    /// What the part before left to remember; zeros in the first.
    pub(crate) fn cursor(&self) -> [u64; 2] {
        // SAFETY: Valid by the contract of `from_raw`; any bytes are integers.
        unsafe {
            let args = &self.callback.as_ref().__bindgen_anon_1.args;
            [args[0] as u64, args[1] as u64]
        }
    }

    /// Leaves something to remember for the next part.
    pub(crate) fn remember(&mut self, [first, second]: [u64; 2]) {
        // SAFETY: As in `cursor`, and nobody else uses the callback meanwhile.
        unsafe {
            let args = &mut self.callback.as_mut().__bindgen_anon_1.args;
            args[0] = first as c_long;
            args[1] = second as c_long;
        }
    }

    /// Says which state of the data this part is from; when it is not that of the part before,
    /// the receiver is told to ask again.
    pub(crate) fn generation(&mut self, generation: u32) {
        // SAFETY: As in `remember`. Zero would mean that there was no part before.
        unsafe { self.callback.as_mut().seq = generation.max(1) };
    }

    /// A point to which the part can be cut back.
    pub(crate) fn mark(&self) -> Mark {
        // SAFETY: The buffer is valid by the contract of `from_raw`.
        Mark(unsafe { self.buffer.0.as_ref() }.len)
    }

    /// Takes back all messages since `mark`.
    pub(crate) fn cut(&mut self, Mark(len): Mark) {
        // SAFETY: The buffer is valid by the contract of `from_raw`; it only shrinks.
        unsafe { bindings::skb_trim(self.buffer.0.as_ptr(), len) };
    }

    /// Appends a message of `command`, which `fill` writes.
    pub(crate) fn message(
        &mut self,
        command: u8,
        fill: impl FnOnce(&mut Message<'_>) -> Result,
    ) -> Result {
        let family = self.request.info().family;
        let (buffer, callback) = (self.buffer.0.as_ptr(), self.callback.as_ptr());
        // SAFETY: The buffer and the callback are valid by the contract of `from_raw`.
        unsafe {
            let header = ffi::rlvs_genl_dump_start(buffer, callback, family, command);
            Message::write(&self.buffer, header, fill)
        }
    }
}

/// A length of the part, from [`Dump::mark`].
pub(crate) struct Mark(c_uint);

/// A registered family; dropping it waits for requests in progress.
///
/// # Invariants
///
/// Both tables stay where they are while the family is registered.
pub(crate) struct Registration<F> {
    family: Pin<KBox<Opaque<bindings::genl_family>>>,
    _commands: KVec<bindings::genl_ops>,
    _family: PhantomData<F>,
}

// SAFETY: The tables belong to no thread; the core serialises what it does with them.
unsafe impl<F> Send for Registration<F> {}
// SAFETY: There is nothing to do with a shared reference.
unsafe impl<F> Sync for Registration<F> {}

impl<F: Family> Registration<F> {
    /// Opens the family in every network namespace.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let mut commands = KVec::with_capacity(F::COMMANDS.len(), GFP_KERNEL)?;
        for &(command, mode) in F::COMMANDS {
            commands.push_within_capacity(operation::<F>(command, mode))?;
        }
        let mut family = bindings::genl_family {
            version: F::VERSION.into(),
            ops: commands.as_ptr(),
            n_ops: u8::try_from(commands.len())?,
            // No command has a policy: the attributes are checked where they are read.
            resv_start_op: u8::MAX,
            module: module.as_ptr(),
            ..pin_init::zeroed()
        };
        family.set_netnsok(1);
        family.set_parallel_ops(1);
        const { assert!(F::NAME.to_bytes().len() < 16) };
        for (place, &byte) in family.name.iter_mut().zip(F::NAME.to_bytes()) {
            *place = byte;
        }
        let family = KBox::pin(Opaque::new(family), GFP_KERNEL)?;
        // SAFETY: Both tables stay in their allocations until the family is unregistered.
        to_result(unsafe { bindings::genl_register_family(family.get()) })?;
        Ok(Self {
            family,
            _commands: commands,
            _family: PhantomData,
        })
    }
}

impl<F> Drop for Registration<F> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`.
        unsafe { bindings::genl_unregister_family(self.family.get()) };
    }
}

/// A command as the core wants it.
fn operation<F: Family>(cmd: u8, mode: Mode) -> bindings::genl_ops {
    let flags = match F::GUARDED {
        Guarded::Namespace => bindings::GENL_UNS_ADMIN_PERM,
        Guarded::Machine => bindings::GENL_ADMIN_PERM,
    };
    let mut operation = bindings::genl_ops {
        cmd,
        // CAST: one bit of eight.
        flags: flags as u8,
        ..pin_init::zeroed()
    };
    if mode != Mode::Dump {
        operation.doit = Some(doit::<F>);
    }
    if mode != Mode::Do {
        operation.start = Some(start::<F>);
        operation.dumpit = Some(dumpit::<F>);
    }
    operation
}

/// Answers a request.
///
/// # Safety
///
/// Called by the core with a valid request.
unsafe extern "C" fn doit<F: Family>(
    _message: *mut bindings::sk_buff,
    info: *mut bindings::genl_info,
) -> c_int {
    // SAFETY: By the contract.
    let request = unsafe { Request::from_raw(info) };
    from_result(|| F::run(&request).map(|()| 0))
}

/// Looks at the request for a dump.
///
/// # Safety
///
/// Called by the core with a dump that begins.
unsafe extern "C" fn start<F: Family>(callback: *mut bindings::netlink_callback) -> c_int {
    // SAFETY: By the contract.
    let request = unsafe { Request::from_raw(ffi::rlvs_genl_dump_info(callback)) };
    from_result(|| F::check(&request).map(|()| 0))
}

/// Fills one part of a dump. After `EMSGSIZE` the core sends the part and asks for the next.
///
/// # Safety
///
/// Called by the core with a buffer and a dump that has begun.
unsafe extern "C" fn dumpit<F: Family>(
    buffer: *mut bindings::sk_buff,
    callback: *mut bindings::netlink_callback,
) -> c_int {
    // SAFETY: By the contract.
    let mut dump = unsafe { Dump::from_raw(buffer, callback) };
    from_result(|| F::dump(&mut dump).map(|()| 0))
}
