//! Why something is refused: our own application's command or update, or a stranger's message.
//!
//! [`ConfigError`](crate::ConfigError) stands with the configuration. A [`Refusal`] is never returned: it becomes a verdict, a charge and a
//! label, by the one table in [`Refusal::row`].

use crate::input::{RequestFailure, StorageFailure};
use crate::peer::gater::{GaterFull, GaterRefusal};
use crate::schedule::ScheduleError;
use crate::validate::v1::parent::ParentRule;
use crate::verdict::Verdict;
use crate::wire::topics::Protocol;
use crate::wire::v1::DecodeError;

/// Why a command was refused. The machine is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum CommandError {
    /// Our own message breaks a rule; nothing was sent (P5.7).
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// No peer can take the request (P6.8).
    #[error("no connected peer can answer {0:?} now")]
    NoPeer(Protocol),
    /// The named peer is not connected.
    #[error("the peer is not connected")]
    NotConnected,
    /// The named peer does not speak the protocol.
    #[error("the peer does not speak {0:?}")]
    Unsupported(Protocol),
    /// The named peer, or the node, has as many requests under way as it may.
    #[error("{in_flight} requests under way, at most {max} are allowed")]
    TooManyRequests {
        /// Under way.
        in_flight: usize,
        /// The limit.
        max: usize,
    },
    /// A count outside its range.
    #[error("a count of {count}; allowed is {min} to {max}")]
    BadCount {
        /// What was asked.
        count: u32,
        /// Least.
        min: u32,
        /// Most.
        max: u32,
    },
    /// The gater refuses the dial (P8.1).
    #[error("not dialed: {0}")]
    Gated(#[from] GaterRefusal),
    /// As many dials are under way as may be (P8.2).
    #[error("{max} dials are under way already")]
    TooManyDials {
        /// The bound.
        max: usize,
    },
}

/// Why an update was refused. The machine is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum UpdateError {
    /// The peer is not connected.
    #[error("the peer is not connected")]
    NotConnected,
    /// The list is full.
    #[error(transparent)]
    ListFull(#[from] GaterFull),
    /// There is no ban to lift.
    #[error("the peer is not banned")]
    NotBanned,
    /// The windows contradict each other.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The block is not one that was ready.
    #[error("block {block_number} was not ready")]
    NotReady {
        /// Its number.
        block_number: u64,
    },
}

/// Why a message of our own was not published (P5.7–P5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum PublishError {
    /// It breaks a rule.
    #[error("refused by rule {rule}: {0}", rule = .0.rule())]
    Refused(Refusal),
    /// Nobody could take it before its window was over (P5.8).
    #[error("not sent: no peer could take it before its window was over")]
    Unsent,
    /// Too many of our own messages wait already.
    #[error("no room: at most {max} messages of our own, of {max_bytes} bytes together, may wait")]
    QueueFull {
        /// How many may wait.
        max: usize,
        /// How many bytes they may have together.
        max_bytes: usize,
    },
    /// The network will never take it.
    #[error("the network refuses the message")]
    Network,
    /// P5.9a: its record could not be written. The same commitment may be offered again; another one at its block number may not.
    #[error("rule P5.9a: its record could not be written: {0}")]
    NotRecorded(StorageFailure),
    /// P5.9a: there is no disk that would remember it.
    #[error(
        "rule P5.9a: the node has no storage, so it could contradict itself after a restart; give it a store, or say that it is ephemeral"
    )]
    NoStorage,
}

/// Why a request of ours has no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum RequestError {
    /// There is no answer.
    #[error(transparent)]
    Failed(#[from] RequestFailure),
    /// The answer breaks a rule (P6.4).
    #[error("a bad answer, rule {rule}: {0}", rule = .0.rule())]
    Refused(Refusal),
}

/// Why a stranger's message is not accepted, by the rule that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Refusal {
    /// C1, T1, P6.4: not the container that it should be.
    #[error("malformed: {0}")]
    Malformed(DecodeError),
    /// C2.
    #[error("another slasher address than the chain's")]
    WrongSlasher,
    /// C3.
    #[error("no txlist, and no end of preconfirmation either")]
    NoTxListHash,
    /// C4, T2.
    #[error("already here")]
    Duplicate,
    /// C4.
    #[error("at or below the sync tip")]
    Stale,
    /// C4.
    #[error("too far above the head")]
    TooFarAhead,
    /// C5.
    #[error("its window has been over for too long")]
    Late,
    /// C6: still not covered by the schedule when its verdict was due.
    #[error("the schedule does not say yet who is elected")]
    ScheduleUnknown,
    /// C6.
    #[error("no such window, or its time is outside of it")]
    WrongWindow {
        /// Whether L1 can no longer change the window (P9.1).
        settled: bool,
    },
    /// C6a: its window had not begun when its verdict was due, or is too far ahead to wait for it.
    #[error("its window has not begun")]
    Early,
    /// C7, P4.4.
    #[error("the signature is in its high-s form")]
    HighS,
    /// C7.
    #[error("no signer can be recovered")]
    BadSignature,
    /// C7.
    #[error("signed by someone who is not elected for the window")]
    WrongSigner {
        /// Whether L1 can no longer change the window (P9.1).
        settled: bool,
    },
    /// C8.
    #[error("its signer has committed to another block at this number")]
    Equivocation,
    /// C8.
    #[error("its signer has handed the window over before this block")]
    AfterEop,
    /// C9: its parent was still unknown when its verdict was due.
    #[error("its parent is not known")]
    ParentUnknown,
    /// C9.
    #[error("breaks the parent rule on {0:?}")]
    ParentRule(ParentRule),
    /// C9.
    #[error("another block is canonical at this number")]
    Fork,
    /// P5.9b.
    #[error(
        "our own key has signed in this window what our records do not name: wait until that is linked, or override it for this window"
    )]
    Syncing,
    /// P4.6.
    #[error("our own message")]
    Own,
    /// P5.1, P10.1: no room to hold it, or too much of this peer's is under way.
    #[error("no room")]
    NoRoom,
    /// T1.
    #[error("an empty txlist")]
    EmptyTxList,
    /// T3.
    #[error("over the peer's quota of txlist bytes")]
    OverQuota,
    /// T4.
    #[error("the txlist's hash is another one than it claims")]
    WrongHash,
    /// P6.4: not what was asked for.
    #[error("not what was asked for")]
    NotAsked,
    /// P6.4: an item of a page that does not link to the one before.
    #[error("does not link to the item before it")]
    BrokenPage,
    /// P3.4: a request that is no frame.
    #[error("not framed as the protocol says")]
    BadFrame,
    /// P7.4.
    #[error("its peer is pruned")]
    Pruned,
    /// P6.6.
    #[error("over the request limit")]
    RateLimited,
    /// P6.6: as much is being answered already as may be, whoever asked.
    #[error("too many requests are being answered")]
    Crowded,
    /// T5: no accepted commitment had named it when its verdict was due.
    #[error("no accepted commitment names the txlist")]
    Unnamed,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The rule's number in the [`protocol`](crate::protocol).
    pub rule: &'static str,
    /// What gossip does with the message; a response whose row says reject costs its peer a failure.
    pub verdict: Verdict,
    /// The value of the metric label `refusal`.
    pub label: &'static str,
}

impl Refusal {
    /// The one table from refusals to what follows from them.
    pub fn row(self) -> Row {
        use Verdict::{Ignore, Reject};
        // P9.1: while L1 may still change a window, nodes may differ about it in good faith.
        let by_window = |settled| if settled { Reject } else { Ignore };
        let (rule, verdict, label) = match self {
            Self::Malformed(_) => ("C1", Reject, "malformed"),
            Self::WrongSlasher => ("C2", Reject, "wrong_slasher"),
            Self::NoTxListHash => ("C3", Reject, "no_txlist_hash"),
            Self::Duplicate => ("C4", Ignore, "duplicate"),
            Self::Stale => ("C4", Ignore, "stale"),
            Self::TooFarAhead => ("C4", Ignore, "too_far_ahead"),
            Self::Late => ("C5", Ignore, "late"),
            Self::ScheduleUnknown => ("C6", Ignore, "schedule_unknown"),
            Self::WrongWindow { settled } => ("C6", by_window(settled), "wrong_window"),
            Self::Early => ("C6a", Ignore, "early"),
            Self::HighS => ("C7", Ignore, "high_s"),
            Self::BadSignature => ("C7", Reject, "bad_signature"),
            Self::WrongSigner { settled } => ("C7", by_window(settled), "wrong_signer"),
            Self::Equivocation => ("C8", Ignore, "equivocation"),
            Self::AfterEop => ("C8", Ignore, "after_eop"),
            Self::ParentUnknown => ("C9", Ignore, "parent_unknown"),
            Self::ParentRule(_) => ("C9", Ignore, "parent_rule"),
            Self::Fork => ("C9", Ignore, "fork"),
            Self::Syncing => ("P5.9b", Ignore, "syncing"),
            Self::Own => ("P4.6", Ignore, "own"),
            Self::NoRoom => ("P5.1", Ignore, "no_room"),
            Self::EmptyTxList => ("T1", Ignore, "empty_txlist"),
            Self::OverQuota => ("T3", Ignore, "over_quota"),
            Self::WrongHash => ("T4", Reject, "wrong_hash"),
            Self::Unnamed => ("T5", Ignore, "unnamed"),
            Self::NotAsked => ("P6.4", Reject, "not_asked"),
            Self::BrokenPage => ("P6.4", Reject, "broken_page"),
            Self::BadFrame => ("P3.4", Reject, "bad_frame"),
            Self::Pruned => ("P7.4", Ignore, "pruned"),
            Self::Crowded => ("P6.6", Ignore, "crowded"),
            Self::RateLimited => ("P6.6", Ignore, "rate_limited"),
        };
        Row { rule, verdict, label }
    }

    /// The rule's number in the [`protocol`](crate::protocol).
    pub fn rule(self) -> &'static str {
        self.row().rule
    }

    /// What gossip does with the message.
    pub fn verdict(self) -> Verdict {
        self.row().verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Ignore, Reject};

    #[test]
    fn every_refusal_has_its_row() {
        let rows = [
            (Refusal::Malformed(DecodeError::Bool(2)), "C1", Reject),
            (Refusal::WrongSlasher, "C2", Reject),
            (Refusal::NoTxListHash, "C3", Reject),
            (Refusal::Duplicate, "C4", Ignore),
            (Refusal::Stale, "C4", Ignore),
            (Refusal::TooFarAhead, "C4", Ignore),
            (Refusal::Late, "C5", Ignore),
            (Refusal::ScheduleUnknown, "C6", Ignore),
            (Refusal::WrongWindow { settled: true }, "C6", Reject),
            (Refusal::WrongWindow { settled: false }, "C6", Ignore),
            (Refusal::HighS, "C7", Ignore),
            (Refusal::BadSignature, "C7", Reject),
            (Refusal::WrongSigner { settled: true }, "C7", Reject),
            (Refusal::WrongSigner { settled: false }, "C7", Ignore),
            (Refusal::Equivocation, "C8", Ignore),
            (Refusal::AfterEop, "C8", Ignore),
            (Refusal::Early, "C6a", Ignore),
            (Refusal::ParentUnknown, "C9", Ignore),
            (Refusal::ParentRule(ParentRule::BlockNumber), "C9", Ignore),
            (Refusal::Fork, "C9", Ignore),
            (Refusal::Syncing, "P5.9b", Ignore),
            (Refusal::Own, "P4.6", Ignore),
            (Refusal::NoRoom, "P5.1", Ignore),
            (Refusal::EmptyTxList, "T1", Ignore),
            (Refusal::OverQuota, "T3", Ignore),
            (Refusal::WrongHash, "T4", Reject),
            (Refusal::Unnamed, "T5", Ignore),
            (Refusal::NotAsked, "P6.4", Reject),
            (Refusal::BrokenPage, "P6.4", Reject),
            (Refusal::BadFrame, "P3.4", Reject),
            (Refusal::Pruned, "P7.4", Ignore),
            (Refusal::Crowded, "P6.6", Ignore),
            (Refusal::RateLimited, "P6.6", Ignore),
        ];
        for (refusal, rule, verdict) in rows {
            assert_eq!((refusal.rule(), refusal.verdict()), (rule, verdict), "{refusal:?}");
            #[cfg(feature = "serde")]
            for name in [rule, refusal.row().label] {
                assert_eq!(crate::serialize::find_name(name), Some(name), "a snapshot reads back what it counted");
            }
        }
    }
}
