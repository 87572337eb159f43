//! The pure state machine of the preconfirmation peer-to-peer protocol.

mod chain;
mod commands;
mod config;
mod crypto;
mod dice;
mod error;
mod id;
mod input;
mod job;
mod machine;
mod output;
mod peer;
mod publish;
mod record;
mod request;
mod schedule;
mod stats;
mod status;
mod sync;
mod time;
mod validate;
mod wire;

pub use alloy_primitives::{Address, B256, U256, keccak256};
pub use bytes::Bytes;
pub use secp256k1::SecretKey;

pub use config::{Config, ConfigError};
pub use crypto::{DEFAULT_DOMAIN, address_of, is_high_s, message_id, preconfirmation_hash, recover, recover_any, sign, signing_hash};
pub use error::{CommandError, PublishError, Refusal, RequestError, Row};
pub use id::{ChannelId, CommandId, ConnectionId, DialId, HeldId, InvalidPeerId, JobId, MessageId, PeerId, PublishId, RequestId};
pub use input::{Command, Direction, Input, PublishOutcome, RequestFailure, Spoken, SyncTip};
pub use job::{Found, Job, JobDone, Work};
pub use machine::Core;
pub use output::{Accepted, Action, Event, MAX_OUTPUTS_PER_STEP, Outcome, Output, Response, Source, Verdict};
pub use peer::conduct::{Conduct, POINT, ScoreRules, Weights};
pub use peer::connections::ConnectionLimits;
pub use peer::gate::{Gate, GateConfig, GateFull, GateRefusal, MAX_GATE_ENTRIES, Ties};
pub use peer::ledger::{Cause, Change, Ledger, MAX_SCORE_CHANGES, Reason};
pub use peer::limit::{ByteBudget, ByteLimit, LimitKind, Limiter, MAX_LIMIT, RateLimit};
pub use peer::pace::Pace;
pub use peer::score::Standing;
pub use peer::subnet::Cidr;
pub use record::Record;
pub use schedule::{EPOCH_SECS, LookaheadEntry, LookaheadEpoch, MAX_WINDOWS, ScheduleError, Window, windows_from_lookahead};
pub use stats::Stats;
pub use status::{PeerInfo, Status};
pub use time::{Now, Time, Timer, UnixTime};
pub use validate::parent::{HostRule, ParentRule, ParentRules};
pub use wire::frame::{FrameDecoder, FrameError, frame_prefix, max_request_bytes, max_response_bytes};
pub use wire::messages::{
    COMMITMENT_BYTES, CommitmentsPage, DecodeError, GetCommitmentsRequest, GetHeadRequest, GetTxListRequest, MAX_COMMITMENTS_PER_RESPONSE,
    MAX_GOSSIP_BYTES, MAX_TXLIST_BYTES, PRECONFIRMATION_BYTES, PreconfCommitment, PreconfHead, Preconfirmation, RawTxList,
    SIGNED_COMMITMENT_BYTES, SignedCommitment, TXLIST_HEADER_BYTES,
};
pub use wire::topics::{ChainId, Protocol, Topic, legacy_topics};
