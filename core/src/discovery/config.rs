//! How eagerly does a node look for others, and whom does it take (P8.2, P8.6)?
//!
//! | preset | at start | later | dials | a full node exchanges a peer | private addresses |
//! |---|---|---|---|---|---|
//! | prod | every 5 s, 200 times | every 20 s | 8 each second | every minute | no |
//! | dev | every 2 s, 200 times | every 10 s | 8 each second | every 30 s | yes |
//! | test | every 500 ms, 200 times | every 2 s | 4 each 200 ms | every 6 s | yes |

use std::time::Duration;

use crate::config::error::ConfigError;

/// OutboundLimiter and taste of discovery.
///
/// ```
/// use preconf_core::{ChainId, Config, DiscoveryConfig};
/// let mut config = Config::new(ChainId(167_000));
/// config.discovery = Some(DiscoveryConfig { accept_unlabelled: false, ..DiscoveryConfig::PROD });
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DiscoveryConfig {
    /// Pause from the begin of one look-up to that of the next while the node is young, or has no peer at all.
    pub eager_every: Duration,
    /// How many look-ups a node is young for.
    pub eager_lookups: u64,
    /// The pause later on.
    pub every: Duration,
    /// How often candidates are dialed.
    pub dial_every: Duration,
    /// How many of them at most each time. Ours: strangers' records must not make a node knock at hundreds of doors.
    pub dials_at_once: u32,
    /// First pause before a candidate that was not reached is dialed again; it doubles up to an hour. Default 30 s. Ours: a restart's time.
    pub retry_after: Duration,
    /// How often a node that has as many peers as it wants gives one up for somebody new (P8.10). Ours: in production half of its slots in
    /// an hour.
    pub exchange_every: Duration,
    /// Take records that name no chain? Older nodes write such; they are dropped later if they speak nothing of ours (P2.5).
    pub accept_unlabelled: bool,
    /// Take addresses that only mean something nearby: loopback, link-local, private. Ours: in public, such a record sends a node to its
    /// own neighbours.
    pub accept_private: bool,
}

impl DiscoveryConfig {
    /// For production. Source: P8.2.
    pub const PROD: Self = Self {
        eager_every: Duration::from_secs(5),
        eager_lookups: 200,
        every: Duration::from_secs(20),
        dial_every: Duration::from_secs(1),
        dials_at_once: 8,
        retry_after: Duration::from_secs(30),
        exchange_every: Duration::from_secs(60),
        accept_unlabelled: true,
        accept_private: false,
    };
    /// For development networks. Ours: twice as fast.
    pub const DEV: Self = Self {
        eager_every: Duration::from_secs(2),
        every: Duration::from_secs(10),
        exchange_every: Duration::from_secs(30),
        accept_private: true,
        ..Self::PROD
    };
    /// For tests. Ours: ten times as fast.
    pub const TEST: Self = Self {
        eager_every: Duration::from_millis(500),
        every: Duration::from_secs(2),
        dial_every: Duration::from_millis(200),
        dials_at_once: 4,
        retry_after: Duration::from_secs(1),
        exchange_every: Duration::from_secs(6),
        ..Self::DEV
    };

    /// Does every value make sense?
    ///
    /// # Errors
    /// The first key that does not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds, key, value: String, allowed| if holds { Ok(()) } else { Err(ConfigError { key, value, allowed }) };
        let span = |key, value: Duration| {
            let ok = (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&value);
            rule(ok, key, format!("{value:?}"), "100 ms to 1 h")
        };
        span("discovery.eager_every", self.eager_every)?;
        span("discovery.every", self.every)?;
        span("discovery.dial_every", self.dial_every)?;
        span("discovery.retry_after", self.retry_after)?;
        span("discovery.exchange_every", self.exchange_every)?;
        rule((1..=64).contains(&self.dials_at_once), "discovery.dials_at_once", self.dials_at_once.to_string(), "1 to 64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_2_every_preset_is_allowed_and_looks_more_often_while_it_is_young() {
        for preset in [DiscoveryConfig::PROD, DiscoveryConfig::DEV, DiscoveryConfig::TEST] {
            assert_eq!(preset.check(), Ok(()));
            assert!(preset.eager_every < preset.every);
        }
        let prod = DiscoveryConfig::PROD;
        assert_eq!((prod.eager_every.as_secs(), prod.eager_lookups, prod.every.as_secs()), (5, 200, 20));
    }

    #[test]
    fn a_bad_value_names_its_key() {
        let key = |config: DiscoveryConfig| config.check().expect_err("refused").key;
        assert_eq!(key(DiscoveryConfig { every: Duration::ZERO, ..DiscoveryConfig::PROD }), "discovery.every");
        assert_eq!(key(DiscoveryConfig { dials_at_once: 0, ..DiscoveryConfig::PROD }), "discovery.dials_at_once");
    }
}
