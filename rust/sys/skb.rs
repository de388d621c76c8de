// SPDX-License-Identifier: GPL-2.0

//! A packet inside a hook, and what can become of it.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use core::net::IpAddr;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::prelude::*;

use super::index::Side;
use super::net::Net;
use super::place::Place;
use super::rcu::{self, Rcu, RcuBox};
use super::route::{Path, Route};
use super::stats::Stats;
use crate::ffi;

/// What a hook answers. Only the methods of [`Packet`] make one, and they take the
/// packet: nobody can answer twice, or forget to.
#[must_use]
pub(crate) struct Verdict(c_uint);

impl Verdict {
    /// The number that netfilter expects.
    #[inline(always)]
    pub(super) fn into_raw(self) -> c_uint {
        self.0
    }
}

/// The packet goes on its ordinary way.
const ACCEPT: Verdict = Verdict(ffi::NF_ACCEPT);
/// Netfilter frees the packet.
const DROP: Verdict = Verdict(ffi::NF_DROP);
/// The packet is no longer netfilter's.
const STOLEN: Verdict = Verdict(ffi::NF_STOLEN);

/// Bits of a packet that hooks ask for.
#[derive(Clone, Copy)]
pub(crate) struct Facts(u32);

impl Facts {
    /// Sent to this host's link address.
    pub(crate) fn to_us(self) -> bool {
        self.0 & ffi::RLVS_SKB_HOST != 0
    }

    /// rlvs (or IPVS) is done with it.
    pub(crate) fn marked(self) -> bool {
        self.0 & ffi::RLVS_SKB_MARKED != 0
    }

    /// It has a route.
    pub(crate) fn routed(self) -> bool {
        self.0 & ffi::RLVS_SKB_ROUTED != 0
    }

    /// It is from a raw socket that wants it untouched.
    pub(crate) fn nodefrag(self) -> bool {
        self.0 & ffi::RLVS_SKB_NODEFRAG != 0
    }
}

/// What a packet that may go early is like; see [`Packet::ready`].
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    answer: u32,
    len: u32,
}

impl Ready {
    /// The way's MTU.
    #[inline(always)]
    pub(crate) fn mtu(self) -> u32 {
        self.answer & !ffi::RLVS_EARLY_PARTIAL
    }

    /// The checksum at the end of the bytes is left to the device.
    #[inline(always)]
    pub(crate) fn partial(self) -> bool {
        self.answer & ffi::RLVS_EARLY_PARTIAL != 0
    }
}

/// Where a packet came in, by the number of the interface, and the mark that it bore at its end.
#[derive(Default)]
pub(crate) struct Origin(ffi::rlvs_origin);

impl Origin {
    /// The interface, or 0 if the packet is of this host.
    pub(crate) fn interface(&self) -> u32 {
        self.0.iif
    }

    /// The mark.
    pub(crate) fn mark(&self) -> u32 {
        self.0.mark
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        (self.0.iif, self.0.mark) == (other.0.iif, other.0.mark)
    }
}

/// Why a packet does not go early although its flow is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotReady {
    /// The kernel would not forward it either, or it can't be changed.
    Refused,
    /// It came in where none came that went the ordinary way.
    Interface,
    /// The way out is not known any more.
    Path,
    /// It is too large for the way out.
    Size,
}

/// An ICMP error to a packet's sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icmp {
    /// The TTL or hop limit ran out.
    TimeExceeded,
    /// Larger than the way's MTU.
    TooBig(u32),
    /// Nobody serves the port.
    PortUnreachable,
    /// The host can't be reached.
    HostUnreachable,
}

/// A packet that a hook has to decide on.
///
/// # Invariants
///
/// `skb` is valid and ours until a method takes the packet.
pub(crate) struct Packet<'a> {
    skb: NonNull<bindings::sk_buff>,
    net: Net,
    place: Place,
    rcu: &'a Rcu,
}

impl<'a> Packet<'a> {
    /// Wraps what netfilter passed to a hook.
    ///
    /// # Safety
    ///
    /// `skb` must be valid, owned by the caller, and start at its IP header.
    #[inline(always)]
    pub(super) unsafe fn new(
        skb: *mut bindings::sk_buff,
        net: Net,
        place: Place,
        rcu: &'a Rcu,
    ) -> Self {
        Self {
            // SAFETY: Not null by the contract.
            skb: unsafe { NonNull::new_unchecked(skb) },
            net,
            place,
            rcu,
        }
    }

    #[inline(always)]
    pub(super) fn raw(&self) -> *mut bindings::sk_buff {
        self.skb.as_ptr()
    }

    /// The read side that the hook runs in.
    #[inline(always)]
    pub(crate) fn rcu(&self) -> &'a Rcu {
        self.rcu
    }

    /// The namespace that it is in.
    #[inline(always)]
    pub(crate) fn net(&self) -> Net {
        self.net
    }

    /// The hook's place.
    #[inline(always)]
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Its length from the IP header on.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: Valid by the invariant.
        unsafe { (*self.raw()).len }
    }

    /// Its bits.
    #[inline(always)]
    pub(crate) fn facts(&self) -> Facts {
        // SAFETY: Valid by the invariant.
        Facts(unsafe { ffi::rlvs_skb_facts(self.raw()) })
    }

    /// The bytes that can be read, from the IP header on.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: Valid by the invariant; `data` to `data + len - data_len` is linear.
        unsafe {
            let skb = self.raw();
            let linear = (*skb).len.wrapping_sub((*skb).data_len) as usize;
            core::slice::from_raw_parts((*skb).data, linear)
        }
    }

    /// Makes `len` bytes readable; false: it is shorter, or there is no memory.
    pub(crate) fn pull(&mut self, len: usize) -> bool {
        let Ok(len) = u32::try_from(len) else {
            return false;
        };
        // SAFETY: Valid and ours by the invariant; no slice of it is held.
        unsafe { ffi::rlvs_skb_pull(self.raw(), len) }
    }

    /// The first `len` bytes, to be changed; `None`: it is shorter, or no memory.
    #[inline(always)]
    pub(crate) fn writable(&mut self, len: usize) -> Option<&mut [u8]> {
        let short = u32::try_from(len).ok()?;
        // SAFETY: Valid and ours by the invariant; no slice of it is held.
        if !unsafe { ffi::rlvs_skb_writable(self.raw(), short) } {
            return None;
        }
        // SAFETY: So many bytes are linear now, and nobody else shares them.
        Some(unsafe { core::slice::from_raw_parts_mut((*self.raw()).data, len) })
    }

    /// Whether the checksum that ends at `end` holds only the pseudo header's sum.
    pub(crate) fn is_partial(&self, end: u32) -> bool {
        // SAFETY: Valid by the invariant.
        unsafe { ffi::rlvs_skb_partial(self.raw(), end) }
    }

    /// Whether it, or each of its segments, fits the MTU.
    #[inline(always)]
    pub(crate) fn fits(&self, mtu: u32) -> bool {
        // SAFETY: Valid by the invariant.
        self.len() <= mtu || unsafe { ffi::rlvs_skb_fits(self.raw(), mtu) }
    }

    /// The largest fragment of a reassembled packet, or 0.
    pub(crate) fn largest_fragment(&self, v6: bool) -> u32 {
        // SAFETY: Valid by the invariant, and with an IP header of that family.
        unsafe { ffi::rlvs_skb_frag_max(self.raw(), v6) }
    }

    /// Whether a card has put it together out of several, which only this host can take.
    #[inline(always)]
    pub(crate) fn is_merged(&self) -> bool {
        // Such a one never lies in one piece.
        let whole = self.bytes().len() == self.len() as usize;
        // SAFETY: Valid by the invariant.
        !whole && unsafe { ffi::rlvs_skb_is_merged(self.raw()) }
    }

    /// Computes a checksum that was left to the device; false: no memory.
    pub(crate) fn complete_checksum(&mut self) -> bool {
        // SAFETY: Valid and ours by the invariant.
        unsafe { ffi::rlvs_skb_complete_csum(self.raw()) }
    }

    /// Whether the checksum of the ICMP message at `offset` is right.
    pub(crate) fn icmp_is_valid(&mut self, offset: usize, v6: bool) -> bool {
        let Ok(offset) = u32::try_from(offset) else {
            return false;
        };
        let place = self.place as c_uint;
        // SAFETY: Valid and ours by the invariant.
        unsafe { ffi::rlvs_skb_icmp_valid(self.raw(), place, offset, v6) }
    }

    /// Gives an answer the priority that its type of service asks for, as routers do.
    pub(crate) fn prioritise(&mut self, v6: bool) {
        // SAFETY: Valid and ours by the invariant; a packet that came in has a device.
        unsafe { ffi::rlvs_skb_prioritise(self.raw(), v6) };
    }

    /// Lets go of the socket that was found for the address before the change.
    pub(crate) fn orphan(&mut self) {
        // SAFETY: Valid and ours by the invariant.
        unsafe { ffi::rlvs_skb_orphan(self.raw()) };
    }

    /// Where it came in.
    pub(crate) fn origin(&self, v6: bool) -> Origin {
        let mut origin = Origin::default();
        // SAFETY: Valid by the invariant, and with an IP header of that family.
        unsafe { ffi::rlvs_skb_origin(self.raw(), v6, &mut origin.0) };
        origin
    }

    /// Forgets where it came in: it decides for no other.
    pub(crate) fn forget_origin(&mut self, v6: bool) {
        // SAFETY: Valid and ours by the invariant, and with an IP header of that family.
        unsafe { ffi::rlvs_skb_forget(self.raw(), v6) };
    }

    /// The interface that answers to it must go back to, if addresses do not tell; or 0.
    pub(crate) fn link(&self, v6: bool) -> u32 {
        // SAFETY: Valid by the invariant, and with an IP header of that family.
        unsafe { ffi::rlvs_skb_link(self.raw(), v6) }
    }

    /// The firewall mark that it bears by now.
    pub(crate) fn mark(&self) -> u32 {
        // SAFETY: Valid by the invariant.
        unsafe { ffi::rlvs_skb_fwmark(self.raw()) }
    }

    /// Gives it another one.
    pub(crate) fn set_mark(&mut self, mark: u32) {
        // SAFETY: Valid and ours by the invariant.
        unsafe { ffi::rlvs_skb_set_fwmark(self.raw(), mark) }
    }

    /// The VRF that interface `link`, or else its route, belongs to; or 0.
    pub(crate) fn vrf(&self, link: u32) -> u32 {
        // SAFETY: Valid by the invariant.
        unsafe { ffi::rlvs_skb_vrf(self.net.as_ptr(), self.raw(), link) }
    }

    /// The way that it has, to `to`, if it may be handed to the neighbour at once.
    pub(crate) fn path(&self, to: IpAddr) -> Option<Path> {
        Path::of_packet(self.net, self.skb, to)
    }

    /// Sends it over `route` when it goes on; false: IPsec's policies forbid that, or there is no
    /// memory; drop it.
    pub(crate) fn set_route(&mut self, route: Route<'a>) -> bool {
        match route {
            Route::Kept(path) => self.put_route(path),
            Route::Own(path) => match RcuBox::new(path, GFP_ATOMIC) {
                Ok(kept) => {
                    let done = self.put_route(kept.value());
                    // It lives as long as the read side, as a kept one does.
                    rcu::defer(kept);
                    done
                }
                Err(_) => false,
            },
        }
    }

    /// Gives it the route of a path that lives as long as the read side.
    fn put_route(&mut self, path: &Path) -> bool {
        let hold = self.place == Place::LocalOut;
        // SAFETY: Valid and ours; only the host's own packets outlive the read side, and get a
        // reference.
        unsafe {
            ffi::rlvs_skb_set_route(self.raw(), path.dst(), hold);
            ffi::rlvs_policy_out(self.net.as_ptr(), self.raw())
        }
    }

    /// Whether IPsec's policies let the host take it in as it came.
    pub(crate) fn is_let_in(&mut self, v6: bool) -> bool {
        // SAFETY: Valid and ours by the invariant.
        unsafe { ffi::rlvs_policy_in(self.raw(), v6) }
    }

    /// Tells the sender of an error.
    pub(crate) fn icmp(&mut self, v6: bool, error: Icmp) {
        let (kind, code, info) = icmp_numbers(v6, error);
        self.icmp_raw(v6, kind, code, info);
    }

    /// Tells the sender of an error by its numbers.
    pub(crate) fn icmp_raw(&mut self, v6: bool, kind: u8, code: u8, info: u32) {
        // SAFETY: Valid and ours by the invariant.
        unsafe {
            if v6 {
                ffi::rlvs_icmp6(self.raw(), kind, code, info);
            } else {
                ffi::rlvs_icmp4(self.raw(), kind, code, info);
            }
        }
    }

    /// Tells the sender that there is no way.
    pub(crate) fn link_failure(&mut self) {
        // SAFETY: Valid and ours by the invariant.
        unsafe { ffi::rlvs_link_failure(self.raw()) };
    }

    /// Takes `len` bytes off the front, so that an inner packet comes to light.
    pub(crate) fn strip(&mut self, len: usize, v6: bool) -> bool {
        let Ok(len) = u32::try_from(len) else {
            return false;
        };
        // SAFETY: Valid and ours by the invariant; no slice of it is held.
        unsafe { ffi::rlvs_skb_strip(self.raw(), len, v6) }
    }

    /// Tells the routing tables that the packet that it now starts with was too large.
    pub(crate) fn update_pmtu(&mut self, v6: bool, mtu: u32) {
        // SAFETY: Valid and ours by the invariant.
        unsafe {
            if v6 {
                ffi::rlvs_update_pmtu6(self.net.as_ptr(), self.raw(), mtu);
            } else {
                ffi::rlvs_update_pmtu4(self.net.as_ptr(), self.raw(), mtu);
            }
        }
    }

    /// Lets the socket that sent it, if one of this host did, know that its way has this MTU.
    /// True: it goes out all the same, in pieces.
    pub(crate) fn own_too_big(&mut self, v6: bool, mtu: u32) -> bool {
        if self.place != Place::LocalOut {
            return false;
        }
        // SAFETY: Valid and ours by the invariant; a packet in LOCAL_OUT has a route.
        unsafe { ffi::rlvs_own_too_big(self.net.as_ptr(), self.raw(), mtu, v6) }
    }

    /// Puts `len` bytes in front, for an outer header of the path's family.
    pub(crate) fn encapsulate(
        &mut self,
        path: &Path,
        len: usize,
        inner_v6: bool,
    ) -> Option<&mut [u8]> {
        let short = u32::try_from(len).ok()?;
        let outer_v6 = path.to.is_ipv6();
        // SAFETY: Valid and ours by the invariant; no slice of it is held.
        let head = unsafe { ffi::rlvs_encap(self.raw(), path.dst(), short, outer_v6, inner_v6) };
        if head.is_null() {
            return None;
        }
        // SAFETY: So many bytes were pushed in front.
        Some(unsafe { core::slice::from_raw_parts_mut(head, len) })
    }

    /// Gives the complete IPv4 header in front, which [`Packet::encapsulate`] made room for,
    /// an identification if it needs one.
    pub(crate) fn seal(&mut self) {
        // SAFETY: Valid and ours by the invariant; `encapsulate` set the network header.
        unsafe { ffi::rlvs_seal4(self.net.as_ptr(), self.raw()) };
    }

    /// Lets it go on.
    #[inline(always)]
    pub(crate) fn accept(self) -> Verdict {
        ACCEPT
    }

    /// Lets it go on, past all further hooks of rlvs.
    pub(crate) fn accept_marked(self) -> Verdict {
        // SAFETY: Valid and ours by the invariant.
        unsafe { ffi::rlvs_skb_mark(self.raw()) };
        ACCEPT
    }

    /// Lets it go on, and what it carries past rlvs and IPVS.
    pub(crate) fn accept_passed_by(self) -> Verdict {
        // SAFETY: Valid and ours by the invariant.
        unsafe { ffi::rlvs_skb_pass_by(self.raw()) };
        ACCEPT
    }

    /// Drops it.
    pub(crate) fn drop(self) -> Verdict {
        DROP
    }

    /// Reassembles an IPv4 packet; `Err`: more fragments are awaited.
    pub(crate) fn defragment4(self) -> Result<Self, Verdict> {
        let place = self.place as c_uint;
        // SAFETY: Valid and ours by the invariant; kept or freed unless 0 is returned.
        match unsafe { ffi::rlvs_skb_defrag4(self.net.as_ptr(), self.raw(), place) } {
            0 => Ok(self),
            _ => Err(STOLEN),
        }
    }

    /// Makes so many bytes of it, or all if it has fewer, readable.
    #[inline(always)]
    pub(crate) fn have(&mut self, len: u32) {
        if self.bytes().len() < len as usize {
            self.pull(len.min(self.len()) as usize);
        }
    }

    /// Whether this host would pass it on, as far as IPv6's switch goes.
    #[inline(always)]
    pub(crate) fn forwards6(&self) -> bool {
        // SAFETY: Valid by the invariant; a packet in PREROUTING has a device.
        unsafe { ffi::rlvs_early_forwards6(self.raw()) }
    }

    /// Whether it may be changed and take `path`, with `spare` bytes put in front, past routing
    /// and the other hooks, as one from `origin`; its first `len` bytes are its own then.
    #[inline(always)]
    pub(crate) fn ready(
        &mut self,
        origin: &Origin,
        path: &Path,
        spare: u32,
        len: u32,
    ) -> Result<Ready, NotReady> {
        // SAFETY: Valid and ours by the invariant; no slice of it is held.
        let answer = unsafe {
            let (dst, cookie) = (path.dst(), path.cookie());
            ffi::rlvs_early_ready(self.raw(), &origin.0, dst, cookie, spare, len)
        };
        if answer >= ffi::RLVS_EARLY_REASONS {
            return Ok(Ready { answer, len });
        }
        Err(match answer {
            ffi::RLVS_EARLY_INTERFACE => NotReady::Interface,
            ffi::RLVS_EARLY_PATH => NotReady::Path,
            ffi::RLVS_EARLY_SIZE => NotReady::Size,
            _ => NotReady::Refused,
        })
    }

    /// The bytes that [`Packet::ready`] made its own.
    #[inline(always)]
    pub(crate) fn own(&mut self, ready: &Ready) -> &mut [u8] {
        let own = ready.len.min(self.bytes().len() as u32) as usize;
        // SAFETY: So many bytes are linear, and nobody else has shared them since.
        unsafe { core::slice::from_raw_parts_mut((*self.raw()).data, own) }
    }

    /// Counts it as one of `bytes`, by `side`, and hands it to the neighbour that `path` and its
    /// destination name, past the other hooks.
    #[inline(always)]
    pub(crate) fn send_early(self, path: &Path, stats: &Stats, bytes: u32, side: Side) -> Verdict {
        let out = side == Side::Second;
        // SAFETY: Valid and ours by the invariant, given away here, as is the path's family;
        // the path and the counters live as long as the read side.
        unsafe { ffi::rlvs_early_send(self.raw(), path.dst(), stats.as_ptr(), bytes, out) };
        STOLEN
    }

    /// Whether the ordinary output over `path` would come to the same as [`Packet::send_straight`].
    pub(crate) fn is_straight(&self, path: &Path) -> bool {
        // SAFETY: Valid by the invariant.
        unsafe { ffi::rlvs_xmit_is_straight(self.net.as_ptr(), self.raw(), path.dst()) }
    }

    /// Hands it to the neighbour at once.
    pub(crate) fn send_straight(self, path: &Path) -> Verdict {
        // SAFETY: Valid and ours by the invariant, given away here; the path lives through the
        // call, and whoever keeps the packet longer takes a reference of its route.
        unsafe { ffi::rlvs_xmit_straight(self.raw(), path.dst()) };
        STOLEN
    }

    /// Sends it through LOCAL_OUT and the ordinary output; `tracked`: seen by connection tracking.
    pub(crate) fn send_out(self, path: &Path, tracked: bool) -> Verdict {
        // SAFETY: As for `send_straight`.
        unsafe { ffi::rlvs_xmit_out(self.net.as_ptr(), self.raw(), path.dst(), tracked) };
        STOLEN
    }

    /// Sends an encapsulated packet like one of the host's own.
    pub(crate) fn send_tunnelled(self, path: &Path) -> Verdict {
        // SAFETY: As for `send_straight`.
        unsafe { ffi::rlvs_xmit_tunnel(self.net.as_ptr(), self.raw(), path.dst()) };
        STOLEN
    }
}

/// Type, code and further information of an ICMP error.
fn icmp_numbers(v6: bool, error: Icmp) -> (u8, u8, u32) {
    match (v6, error) {
        (false, Icmp::TimeExceeded) => (11, 0, 0),
        (false, Icmp::TooBig(mtu)) => (3, 4, mtu),
        (false, Icmp::PortUnreachable) => (3, 3, 0),
        (false, Icmp::HostUnreachable) => (3, 1, 0),
        (true, Icmp::TimeExceeded) => (3, 0, 0),
        (true, Icmp::TooBig(mtu)) => (2, 0, mtu),
        (true, Icmp::PortUnreachable) => (1, 4, 0),
        (true, Icmp::HostUnreachable) => (1, 3, 0),
    }
}
