// SPDX-License-Identifier: GPL-2.0
//! Persistence engines: what a packet itself says about where it belongs, besides its addresses. One file an engine.
//!
//! Pure: `core` only. An engine has one line in each function below.

mod sip;

use crate::proto;

/// The most bytes that an engine takes out of a packet (IPVS: `IP_VS_PEDATA_MAXLEN`).
pub(crate) const DATA_MAX: usize = 255;

/// A persistence engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// SIP: messages of one call belong together.
    Sip,
}

impl Engine {
    /// The engine of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        (name == Self::Sip.name()).then_some(Self::Sip)
    }

    /// Its name, as IPVS has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
        }
    }

    /// Whether it reads packets of a protocol. IPVS: those of others go nowhere.
    pub(crate) fn reads(self, proto: u8) -> bool {
        match self {
            Self::Sip => !proto::has_states(proto),
        }
    }

    /// What the payload of a packet says. `None`: nothing, and IPVS drops the packet.
    pub(crate) fn data(self, payload: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Sip => sip::call_id(payload),
        }
    }

    /// Whether a real server's packet begins a connection, too (IPVS: `conn_out`).
    pub(crate) fn calls_out(self) -> bool {
        match self {
            Self::Sip => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_known_by_their_names() {
        assert_eq!(Engine::parse("sip"), Some(Engine::Sip));
        for name in ["", "SIP", "sips", "si", "sip "] {
            assert_eq!(Engine::parse(name), None, "{name}");
        }
    }

    #[test]
    fn sip_is_for_datagrams() {
        assert!(Engine::Sip.reads(proto::UDP));
        assert!(!Engine::Sip.reads(proto::TCP));
    }
}
