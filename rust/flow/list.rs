// SPDX-License-Identifier: GPL-2.0

//! Flows as a listing shows them.

use core::net::IpAddr;

use super::{Family, Flow, FlowTable};
use crate::proto::Timeouts;
use crate::sched::persist::Said;
use crate::sys::rcu::Rcu;
use crate::sys::time::Jiffies;
use crate::wire::uapi::fwd;

/// What a listing says of a flow.
pub(crate) struct FlowView<'a> {
    /// The IP protocol.
    pub(crate) proto: u8,
    /// The state's name.
    pub(crate) state: &'static str,
    /// Address and port of the client.
    pub(crate) client: (IpAddr, u16),
    /// Address and port of the service.
    pub(crate) service: (IpAddr, u16),
    /// Address and port of the real server.
    pub(crate) dest: (IpAddr, u16),
    /// The local address and port that stand for the client (FULLNAT).
    pub(crate) local: Option<(IpAddr, u16)>,
    /// The forwarding method.
    pub(crate) method: u32,
    /// Seconds until it expires.
    pub(crate) expires: u32,
    /// It is a template: the client is a network, and there may be a mark for the service.
    pub(crate) template: bool,
    /// What a persistence engine has read in the packet that the template began with.
    pub(crate) said: Option<Said<'a>>,
}

impl<A: Family> Flow<A> {
    fn view(&self, timeouts: &Timeouts, now: Jiffies) -> FlowView<'_> {
        let template = self.template_view();
        let (proto, state) = template.unwrap_or((self.proto, self.state_name()));
        // For whom a template is does not stand in the key of one of a call.
        let (client, service, method) = match template {
            Some(_) => (
                (self.reply.src.into(), 0),
                (self.reply.dst.into(), self.reply.dport),
                self.dest.method(),
            ),
            None => (
                (self.request.src.into(), self.request.sport),
                (self.request.dst.into(), self.request.dport),
                self.method,
            ),
        };
        FlowView {
            proto,
            state,
            client,
            service,
            dest: (self.dest.addr, self.dest_port()),
            local: self.local(),
            method: u32::from(method),
            expires: self.expires_in(timeouts, now),
            template: template.is_some(),
            said: self.said(),
        }
    }

    /// The port at the real server.
    fn dest_port(&self) -> u16 {
        match u32::from(self.method) {
            fwd::MASQ | fwd::FULLNAT => self.reply.sport,
            fwd::BYPASS => 0,
            _ if self.is_template() => self.reply.sport,
            _ => self.request.dport,
        }
    }
}

impl<A: Family> FlowTable<A> {
    /// Shows some flows to `f`, those at `at`; returns where to go on, if there are more. The
    /// listing begins at 0, and misses none while the table changes its size.
    pub(crate) fn list(
        &self,
        timeouts: &Timeouts,
        rcu: &Rcu,
        at: usize,
        mut f: impl FnMut(FlowView<'_>),
    ) -> Option<usize> {
        let now = Jiffies::now();
        self.0.walk(rcu, at, |flow| {
            if !flow.is_void() {
                f(flow.view(timeouts, now));
            }
        })
    }
}
