//! How many connections may stand or be under way, and how many peers do we want (P8.2, P8.4)?
//!
//! One set of figures for both sides: the machine dials and prunes by them, the glue hands them to libp2p, which refuses what goes beyond.
//!
//! | preset | pending in/out | established in/out | total | per peer | dial factor | target | of it for outbound |
//! |---|---|---|---|---|---|---|---|
//! | prod | 40/40 | 110/110 | 220 | 4 | 16 | 200 | 100 |
//! | dev | 20/20 | 55/55 | 110 | 4 | 8 | 100 | 50 |
//! | test | 8/8 | 16/16 | 32 | 2 | 2 | 28 | 14 |

use std::num::NonZeroU8;

use crate::config::error::ConfigError;

/// Most peers that are connected as far as the machine knows. Ours: far above any limit of the network (P8.2), so that only a broken
/// driver meets it.
pub(crate) const MAX_CONNECTED: usize = 1024;
/// Most connections of one peer, likewise.
pub(crate) const MAX_CONNECTIONS_PER_PEER: usize = 16;

/// How many connections and peers a node has (P8.2, P8.4).
///
/// ```
/// use preconf_core::{ChainId, Config, ConnectionLimits};
/// let mut config = Config::new(ChainId(167_000));
/// assert_eq!(config.connections, ConnectionLimits::PROD);
/// config.connections = ConnectionLimits { target_peers: 150, ..ConnectionLimits::PROD };
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnectionLimits {
    /// Inbound, still in their handshake.
    pub pending_in: u32,
    /// Outbound, still in their handshake: the dials under way at once.
    pub pending_out: u32,
    /// Inbound, standing.
    pub established_in: u32,
    /// Outbound, standing.
    pub established_out: u32,
    /// Standing, both directions.
    pub total: u32,
    /// Standing with one peer.
    pub per_peer: u32,
    /// Addresses of one peer that are dialed at once.
    pub dial_factor: NonZeroU8,
    /// Peers beyond which the worst go (P8.4). Ours: about nine tenths of `total`, so that a newcomer finds room to show itself.
    pub target_peers: u32,
    /// Peers of that target which only our own dials can fill (P8.4). Ours: half, so that strangers who come to us never decide alone
    /// what we hear.
    pub reserved_outbound: u32,
}

impl ConnectionLimits {
    /// For production. Source: P8.2.
    pub const PROD: Self = Self {
        pending_in: 40,
        pending_out: 40,
        established_in: 110,
        established_out: 110,
        total: 220,
        per_peer: 4,
        dial_factor: factor(16),
        target_peers: 200,
        reserved_outbound: 100,
    };
    /// For development networks of some dozens of nodes. Ours: half of production.
    pub const DEV: Self = Self {
        pending_in: 20,
        pending_out: 20,
        established_in: 55,
        established_out: 55,
        total: 110,
        per_peer: 4,
        dial_factor: factor(8),
        target_peers: 100,
        reserved_outbound: 50,
    };
    /// For tests. Ours: small enough to be reached on purpose.
    pub const TEST: Self = Self {
        pending_in: 8,
        pending_out: 8,
        established_in: 16,
        established_out: 16,
        total: 32,
        per_peer: 2,
        dial_factor: factor(2),
        target_peers: 28,
        reserved_outbound: 14,
    };

    /// Peers that came to us, of which more than this lets the worst go (P8.4).
    pub fn max_inbound(&self) -> u32 {
        self.target_peers.saturating_sub(self.reserved_outbound)
    }

    /// Does every value make sense?
    ///
    /// # Errors
    /// The first key that does not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rule =
            |holds, key, value: u32, allowed| if holds { Ok(()) } else { Err(ConfigError { key, value: value.to_string(), allowed }) };
        let some = |key, value: u32| rule((1..=4096).contains(&value), key, value, "1 to 4096");
        some("pending_in", self.pending_in)?;
        some("pending_out", self.pending_out)?;
        some("established_in", self.established_in)?;
        some("established_out", self.established_out)?;
        rule((1..=MAX_CONNECTED as u32).contains(&self.total), "total", self.total, "1 to 1024")?;
        rule((1..=MAX_CONNECTIONS_PER_PEER as u32).contains(&self.per_peer), "per_peer", self.per_peer, "1 to 16")?;
        rule((1..=self.total).contains(&self.target_peers), "target_peers", self.target_peers, "1 to total")?;
        rule(self.reserved_outbound <= self.target_peers, "reserved_outbound", self.reserved_outbound, "at most target_peers")
    }
}

const fn factor(value: u8) -> NonZeroU8 {
    NonZeroU8::new(value).expect("a preset names no zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_2_every_preset_is_allowed_and_leaves_room_for_newcomers() {
        for preset in [ConnectionLimits::PROD, ConnectionLimits::DEV, ConnectionLimits::TEST] {
            assert_eq!(preset.check(), Ok(()));
            assert!(preset.max_inbound() < preset.established_in, "or libp2p would refuse them before the worst could go");
            assert!(preset.target_peers < preset.total);
        }
    }

    #[test]
    fn a_bad_value_names_its_key() {
        let key = |limits: ConnectionLimits| limits.check().expect_err("refused").key;
        assert_eq!(key(ConnectionLimits { pending_out: 0, ..ConnectionLimits::PROD }), "pending_out");
        assert_eq!(key(ConnectionLimits { target_peers: 221, ..ConnectionLimits::PROD }), "target_peers");
        assert_eq!(key(ConnectionLimits { reserved_outbound: 201, ..ConnectionLimits::PROD }), "reserved_outbound");
    }
}
