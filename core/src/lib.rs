//! The preconfirmation peer-to-peer protocol as one pure state machine.
//!
//! An elected sequencer, the *preconfer*, gossips signed commitments and the txlists that they name. [`Core`] judges them against a
//! schedule, links them into a chain, fetches what it missed, serves what it has, and keeps bad peers out. It is a value that is told what
//! happened and answers with what to do: it never waits, never asks the time, never throws dice of its own.
//!
//! Numbers such as `C6` or `P5.6` name rules: [`protocol`] has the text of every one, and each is cited where it is decided and tested.
//!
//! ```text
//!  Input    the world: gossip, requests, responses, peers, finished jobs --+        +--> Action  orders to the network
//!  Command  our own application wants: publish, fetch, dial ---------------+        |
//!  Update   our own application decides or knows: sync tip, blocks --------+-> Core +--> Job     slow pure work, for any thread
//!  Now      both clocks, at every call ------------------------------------+        +--> Event   news for the application
//!                                                                                   +--> Record  what the disk must remember
//! ```
//!
//! # The loop
//!
//! A driver does four things for ever: drain [`Core::poll_output`], sleep until [`Core::poll_timeout`] or until something happens, read the
//! clocks, and say what it was: [`Core::handle_input`], [`Core::handle_command`], [`Core::handle_update`] or [`Core::handle_timeout`]. Here the whole
//! of it, with the network played by hand:
//!
//! ```
//! use preconf_core::*;
//!
//! // One window, one preconfer, one block.
//! let key = SecretKey::from_secret_bytes([1; 32]).unwrap();
//! let window = Window { start: 1_000, end: 1_012, preconfer: address_of(&key), settled_at: Some(0) };
//! let preconf = Preconfirmation {
//!     block_number: U256::from(1),
//!     timestamp: U256::from(1_001),
//!     raw_tx_list_hash: keccak256(b"transactions"),
//!     submission_window_end: U256::from(window.end),
//!     ..Preconfirmation::default()
//! };
//! let signed = sign(PreconfCommitment { preconf, ..PreconfCommitment::default() }, &key, DEFAULT_DOMAIN);
//!
//! let chain = ChainId(167_000);
//! let now = Now { mono: Time::ZERO, unix: UnixTime::from_secs(1_001) };
//! let mut core = Core::new(Config::new(chain), [7; 32], now)?;
//! core.handle_update(now, Update::Schedule(vec![window]))?;
//! assert!(matches!(core.poll_output(), Some(Output::Persist { record: Record::Schedule(_), .. })));
//!
//! // A peer gossips the commitment. The machine wants its signer recovered before it says anything.
//! let (peer, data) = (PeerId::from_bytes(&[0, 1, 9]).unwrap(), Bytes::copy_from_slice(signed.as_bytes()));
//! let message = message_id(chain, Topic::Commitments, &data);
//! core.handle_input(now, Input::GossipReceived { peer, message, topic: Topic::Commitments, data });
//! let Some(Output::Job(job)) = core.poll_output() else { panic!("a job") };
//! core.handle_input(now, Input::JobFinished(job.run()));
//!
//! let outputs: Vec<Output> = std::iter::from_fn(|| core.poll_output()).collect();
//! assert!(matches!(outputs[0], Output::Persist { record: Record::Commitment(_), .. }));
//! assert!(matches!(outputs[1], Output::App(Event::CommitmentAccepted { .. })));
//! assert_eq!(outputs[2], Output::Net(Action::ReportGossip { message, peer, verdict: Verdict::Accept }));
//! // And it wants to be woken when the txlist is still missing after its grace (P5.6).
//! assert!(matches!(core.poll_timeout(), Some((_, Timer::TxListMissing(_)))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What was ordered is answered by an input that carries the same id:
//!
//! | the machine gives out | the driver tells in the end |
//! |---|---|
//! | a [`Job`] | [`Input::JobFinished`], from any thread, in any order |
//! | a [`Record`] | [`Input::Persisted`] when it is on disk, or [`Input::PersistFailed`]: what is our own waits for it (P5.9a) |
//! | [`Action::Publish`] | [`Input::PublishFinished`] |
//! | [`Action::SendRequest`] | [`Input::ResponseReceived`] or [`Input::RequestFailed`]; after [`Action::CancelRequest`] nobody listens any more |
//! | [`Action::Respond`] | [`Input::ChannelClosed`], when the answer is written or nobody waits for it any more |
//! | [`Action::Dial`] | [`Input::ConnectionOpened`] or [`Input::DialFailed`] |
//! | [`Action::LookUp`] | [`Input::RecordFound`] for each node, then [`Input::LookupFinished`] |
//! | [`Action::Disconnect`], [`Action::CloseConnection`], [`Action::Block`] | [`Input::ConnectionClosed`] for each connection that stood |
//!
//! # Starting
//!
//! A new machine knows no window, so it holds what is gossiped, and it takes block 0 for settled. Before the first connection its host gives
//! it what an earlier run had stored ([`Update::Restore`]), the windows that are known ([`Update::Schedule`]) and the sync tip
//! ([`Update::MoveSyncTip`]). From then on it tells whatever changes, executes each [`Event::BlockReady`] and says so
//! ([`Update::MarkExecuted`]), and stores each [`Record`] that comes out. A host that has no disk says so ([`Config::storage`]).
//!
//! # What it guarantees
//!
//! - **Determinism.** Same configuration, seed and calls: same outputs, byte for byte, on every machine. Results of jobs may come back in
//!   any order; what the node concludes does not depend on it.
//! - **Totality.** Every [`Input`] is taken. What is bad becomes a verdict, a charge and a label ([`Refusal::row`]), never an error or a
//!   panic.
//! - **Bounds.** Every table has a bound by count, bytes and peer; [`memory_bound`] sums them up and [`Core::memory_bytes`] never passes it.
//! - **Progress.** After [`Core::handle_timeout`] the next deadline lies in the future; one call emits at most [`MAX_OUTPUTS_PER_STEP`].
//!
//! # Where to find what
//!
//! Search the sources for a rule's number and you stand in its code and its tests. `validate` holds the rules that are pure functions; `chain`
//! what becomes of a commitment, `txlists` of a txlist; `request` and `sync` what is asked and answered; `peer` reputation and limits;
//! `discovery` whom we might connect to; `wire` the bytes.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::wildcard_enum_match_arm)]

mod accepted;
mod bounds;
mod chain;
mod commands;
mod config;
mod cost;
mod counts;
mod crypto;
mod cx;
mod dice;
mod discovery;
mod dispatch;
mod error;
mod evidence;
mod health;
mod id;
mod input;
mod job;
mod machine;
mod origin;
mod output;
mod peer;
mod publish;
mod record;
mod request;
mod restore;
mod schedule;
#[cfg(feature = "serde")]
mod serialize;
mod serving;
mod settle;
mod settle_requests;
#[cfg(feature = "serde")]
mod snapshot;
mod stats;
mod status;
mod sync;
mod time;
mod tip;
mod txlists;
mod unread;
mod validate;
mod verdict;
mod wire;

#[doc = include_str!("../PROTOCOL.md")]
pub mod protocol {}

pub use alloy_primitives::{Address, B256, U256, keccak256};
pub use bytes::Bytes;
pub use secp256k1::SecretKey;

pub use accepted::Accepted;
pub use bounds::memory_bound;
pub use config::error::ConfigError;
pub use config::{Config, Storage};
pub use crypto::{DEFAULT_DOMAIN, address_of, is_high_s, message_id, preconfirmation_hash, recover, recover_any, sign, signing_hash};
pub use discovery::config::DiscoveryConfig;
pub use discovery::record::{ChainLabel, KnownNode, NodeRecord};
pub use error::{CommandError, PublishError, Refusal, RequestError, Row, UpdateError};
pub use evidence::{Evidence, Fault, NoProof, Promise, Proof, Which};
pub use health::{BlockHealth, MAX_HEALTH_BLOCKS, Stage};
pub use id::{
    ChannelId, CommandId, ConnectionId, DialId, HeldId, InvalidPeerId, JobId, LookupId, MessageId, PeerId, PersistId, PublishId, RequestId,
};
pub use input::{Command, DialFailure, Direction, Input, PublishOutcome, RequestFailure, StorageFailure, SupportedProtocols, Update};
pub use job::{Found, Job, JobDone, Work};
pub use machine::Core;
pub use output::{Action, Event, MAX_OUTPUTS_PER_STEP, Outcome, Output, Response, Source};
pub use peer::conduct::{Conduct, POINT, ScoreRules, Weights};
pub use peer::connections::ConnectionLimits;
pub use peer::gater::{ConnectionGater, GaterConfig, GaterFull, GaterRefusal, MAX_GATER_ENTRIES, PeerState};
pub use peer::ledger::{Cause, Change, Ledger, MAX_SCORE_CHANGES, Reason};
pub use peer::limit::{ByteBudget, ByteLimit, LimitKind, Limiter, MAX_LIMIT, RateLimit};
pub use peer::outbound_limiter::OutboundLimiter;
pub use peer::score::{Standing, application_score};
pub use peer::subnet::{Cidr, Neighbours};
pub use record::{OwnCommitment, Record};
pub use schedule::{EPOCH_SECS, LookaheadEntry, LookaheadEpoch, MAX_WINDOWS, ScheduleError, Window, windows_from_lookahead};
#[cfg(feature = "serde")]
pub use snapshot::Snapshot;
pub use stats::{DiscoveryStats, Stats};
pub use status::{PeerInfo, Status};
pub use time::{Now, Time, Timer, UnixTime};
pub use tip::SyncTip;
pub use validate::v1::parent::{HostRule, ParentRule, ParentRules};
pub use verdict::Verdict;
pub use wire::frame::{FrameDecoder, FrameError, frame_prefix, max_request_bytes, max_response_bytes};
pub use wire::topics::{ChainId, Protocol, Topic, legacy_topics};
pub use wire::v1::{
    COMMITMENT_BYTES, CommitmentsPage, DecodeError, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE,
    MAX_GOSSIP_BYTES, MAX_TXLIST_BYTES, PRECONFIRMATION_BYTES, PreconfCommitment, PreconfHead, Preconfirmation, RawTxList,
    SIGNED_COMMITMENT_BYTES, SignedCommitment, TXLIST_HEADER_BYTES,
};

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
