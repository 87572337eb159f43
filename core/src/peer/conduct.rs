//! What can a peer do that counts, and how much does each count (P7.1)?
//!
//! The machine names a [`Conduct`]; [`ScoreRules`] say what it weighs and how long a ban lasts. They are checked once, at start, and shared
//! by all ledgers.
//!
//! Invariant: checked rules never let a success lower a score, or a failure raise one.

use std::time::Duration;

use crate::config::error::ConfigError;

/// One point of score. Source: PROTOCOL.md §7, scores are in millionths of a point.
pub const POINT: i64 = 1_000_000;
/// One unit of Reth's reputation table. Source: P7.1, which scales that table so that its *bad message*, 16 units, is one point.
const RETH_UNIT: i64 = POINT / 16;

/// Something that a peer did and that changes its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Conduct {
    /// Sent gossip that we accepted.
    GossipAccepted,
    /// Answered a request of ours well.
    ResponseOk,
    /// Sent gossip that we rejected.
    GossipRejected,
    /// Sent a request or a response that breaks a rule (P6.4).
    BadMessage,
    /// Did not answer in time (P6.5).
    Timeout,
    /// Asked more than it may (P6.6).
    RateLimited,
    /// Closed a connection or a stream in the middle of something.
    Dropped,
    /// Could not be reached.
    FailedToConnect,
    /// Announced something that it does not have.
    BadAnnouncement,
    /// Does not speak a protocol as it said it would.
    BadProtocol,
}

impl Conduct {
    /// Every kind of conduct.
    pub const ALL: [Self; 10] = [
        Self::GossipAccepted,
        Self::ResponseOk,
        Self::GossipRejected,
        Self::BadMessage,
        Self::Timeout,
        Self::RateLimited,
        Self::Dropped,
        Self::FailedToConnect,
        Self::BadAnnouncement,
        Self::BadProtocol,
    ];

    /// Its name in metrics, logs and test vectors.
    pub fn label(self) -> &'static str {
        match self {
            Self::GossipAccepted => "gossip_accepted",
            Self::ResponseOk => "response_ok",
            Self::GossipRejected => "gossip_rejected",
            Self::BadMessage => "bad_message",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Dropped => "dropped",
            Self::FailedToConnect => "failed_to_connect",
            Self::BadAnnouncement => "bad_announcement",
            Self::BadProtocol => "bad_protocol",
        }
    }

    /// Is it no more than not being there (P7.2a)?
    pub fn is_absence(self) -> bool {
        matches!(self, Self::Timeout | Self::Dropped | Self::FailedToConnect)
    }

    /// Is it to the peer's credit?
    pub fn is_success(self) -> bool {
        matches!(self, Self::GossipAccepted | Self::ResponseOk)
    }
}

/// What each conduct weighs, in millionths of a point.
///
/// The kinds and the proportions of the faults are those of Reth's `ReputationChangeWeights`, whose unit is 1024: bad message 16 units,
/// failed to connect 25, timeout and dropped 4, bad announcement 1, bad protocol all there is. *Rate limited* is ours, weighed like a
/// timeout.
///
/// ```
/// use preconf_core::{Conduct, Weights};
/// assert_eq!(Weights::default().of(Conduct::FailedToConnect), -1_562_500);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Weights {
    /// For [`Conduct::GossipAccepted`]. Default +0.05 (P7.1).
    pub gossip_accepted: i64,
    /// For [`Conduct::ResponseOk`]. Default +0.05 (P7.1).
    pub response_ok: i64,
    /// For [`Conduct::GossipRejected`]. Default −1 (P7.1).
    pub gossip_rejected: i64,
    /// For [`Conduct::BadMessage`]. Default −1 (P7.1).
    pub bad_message: i64,
    /// For [`Conduct::Timeout`]. Default −0.25 (P7.1).
    pub timeout: i64,
    /// For [`Conduct::RateLimited`]. Default −0.25 (P7.1).
    pub rate_limited: i64,
    /// For [`Conduct::Dropped`]. Default −0.25 (P7.1).
    pub dropped: i64,
    /// For [`Conduct::FailedToConnect`]. Default −1.5625 (P7.1).
    pub failed_to_connect: i64,
    /// For [`Conduct::BadAnnouncement`]. Default −0.0625 (P7.1).
    pub bad_announcement: i64,
    /// For [`Conduct::BadProtocol`]. Default −10 (P7.1).
    pub bad_protocol: i64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            gossip_accepted: POINT / 20,
            response_ok: POINT / 20,
            gossip_rejected: -POINT,
            bad_message: -16 * RETH_UNIT,
            timeout: -4 * RETH_UNIT,
            rate_limited: -4 * RETH_UNIT,
            dropped: -4 * RETH_UNIT,
            failed_to_connect: -25 * RETH_UNIT,
            bad_announcement: -RETH_UNIT,
            bad_protocol: -10 * POINT,
        }
    }
}

impl Weights {
    /// What a conduct weighs.
    pub fn of(&self, conduct: Conduct) -> i64 {
        match conduct {
            Conduct::GossipAccepted => self.gossip_accepted,
            Conduct::ResponseOk => self.response_ok,
            Conduct::GossipRejected => self.gossip_rejected,
            Conduct::BadMessage => self.bad_message,
            Conduct::Timeout => self.timeout,
            Conduct::RateLimited => self.rate_limited,
            Conduct::Dropped => self.dropped,
            Conduct::FailedToConnect => self.failed_to_connect,
            Conduct::BadAnnouncement => self.bad_announcement,
            Conduct::BadProtocol => self.bad_protocol,
        }
    }
}

/// The part of reputation that a node can configure; thresholds and windows are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ScoreRules {
    /// What each conduct weighs.
    pub weights: Weights,
    /// Absence alone takes no score below this. Default −2 (P7.2a), where a peer is throttled and not yet pruned. With a lower one a
    /// partition makes honest nodes ban each other; the simulation of P7.10 shows it.
    pub absence_floor: i64,
    /// How long a ban lasts. Default 1 h (P7.4).
    pub ban_for: Duration,
}

impl Default for ScoreRules {
    fn default() -> Self {
        Self { weights: Weights::default(), absence_floor: -2 * POINT, ban_for: Duration::from_secs(3600) }
    }
}

impl ScoreRules {
    /// Does every value make sense?
    ///
    /// # Errors
    /// The first key that does not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let points = |key, value: i64, is_gain: bool| {
            let (ok, allowed) = if is_gain {
                ((0..=10 * POINT).contains(&value), "0 to 10000000 millionths of a point")
            } else {
                ((-10 * POINT..=0).contains(&value), "-10000000 to 0 millionths of a point")
            };
            if ok { Ok(()) } else { Err(ConfigError { key, value: value.to_string(), allowed }) }
        };
        for conduct in Conduct::ALL {
            points(conduct.label(), self.weights.of(conduct), conduct.is_success())?;
        }
        points("absence_floor", self.absence_floor, false)?;
        if self.ban_for.is_zero() || self.ban_for > Duration::from_secs(365 * 86_400) {
            return Err(ConfigError { key: "ban_for", value: format!("{:?}", self.ban_for), allowed: "more than 0 s, at most 365 days" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rules_are_allowed() {
        assert_eq!(ScoreRules::default().check(), Ok(()));
    }

    #[test]
    fn a_weight_of_the_wrong_sign_or_past_the_clamp_names_its_key() {
        let refused = |weights: Weights| ScoreRules { weights, ..ScoreRules::default() }.check().expect_err("refused").to_string();
        assert_eq!(refused(Weights { timeout: 1, ..Weights::default() }), "timeout = 1: allowed is -10000000 to 0 millionths of a point");
        assert_eq!(
            refused(Weights { response_ok: -1, ..Weights::default() }),
            "response_ok = -1: allowed is 0 to 10000000 millionths of a point"
        );
        assert!(refused(Weights { bad_protocol: -10_000_001, ..Weights::default() }).starts_with("bad_protocol"));
    }

    #[test]
    fn p7_2a_the_floor_of_absence_is_no_reward_and_no_deeper_than_any_score() {
        let check = |absence_floor| ScoreRules { absence_floor, ..ScoreRules::default() }.check();
        assert_eq!((check(0), check(-10 * POINT)), (Ok(()), Ok(())));
        for wrong in [1, -10 * POINT - 1] {
            assert_eq!(check(wrong).expect_err("refused").key, "absence_floor");
        }
    }

    #[test]
    fn a_ban_must_last_a_while_but_not_for_ever() {
        let refused = |ban_for| ScoreRules { ban_for, ..ScoreRules::default() }.check().expect_err("refused").key;
        assert_eq!(refused(Duration::ZERO), "ban_for");
        assert_eq!(refused(Duration::MAX), "ban_for");
    }
}
