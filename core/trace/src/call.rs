//! One call of the machine: all that it may be told.

use preconf_core::{
    ChainLabel, ChannelId, Command, CommandId, ConnectionId, DialFailure, DialId, Direction, Found, Input, JobDone, JobId, KnownNode,
    LookupId, NodeRecord, Protocol, PublishId, PublishOutcome, Record, RequestFailure, RequestId, Spoken, SyncTip, Time, Topic, UnixTime,
    Window,
};

use crate::bytes::{Cursor, Decode, Encode, Sink, choice, fields, newtypes};
use crate::error::Flaw;

/// What the machine was told in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The world said something.
    Input(Input),
    /// A job came back. Not what it found: [`Job::run`](preconf_core::Job::run) is pure, so a replay finds it again.
    JobDone(JobId),
    /// Our own application wished something.
    Command(Command),
    /// Time had passed.
    Timeout,
}

impl Call {
    /// An input as it is recorded.
    pub fn from_input(input: Input) -> Self {
        match input {
            Input::JobFinished(done) => Self::JobDone(done.id),
            other => Self::Input(other),
        }
    }

    pub(crate) fn borrow(&self) -> CallRef<'_> {
        match self {
            Self::Input(input) => CallRef::Input(input),
            Self::JobDone(job) => CallRef::JobDone(*job),
            Self::Command(command) => CallRef::Command(command),
            Self::Timeout => CallRef::Timeout,
        }
    }
}

/// A call that somebody else owns, so that recording it copies nothing but its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallRef<'a> {
    Input(&'a Input),
    JobDone(JobId),
    Command(&'a Command),
    Timeout,
}

impl<'a> CallRef<'a> {
    pub(crate) fn of(input: &'a Input) -> Self {
        match input {
            Input::JobFinished(done) => Self::JobDone(done.id),
            other => Self::Input(other),
        }
    }

    /// Two bits that say which of the four it is.
    pub(crate) fn kind(self) -> u8 {
        match self {
            Self::Input(_) => 0,
            Self::JobDone(_) => 1,
            Self::Command(_) => 2,
            Self::Timeout => 3,
        }
    }

    /// All but its kind.
    pub(crate) fn encode(self, to: &mut impl Sink) {
        match self {
            Self::Input(input) => input.encode(to),
            Self::JobDone(job) => job.encode(to),
            Self::Command(command) => command.encode(to),
            Self::Timeout => {}
        }
    }
}

pub(crate) fn decode_call(kind: u8, from: &mut Cursor) -> Result<Call, Flaw> {
    match kind {
        0 => Decode::decode(from).map(Call::Input),
        1 => Decode::decode(from).map(Call::JobDone),
        2 => Decode::decode(from).map(Call::Command),
        3 => Ok(Call::Timeout),
        tag => Err(Flaw::Tag { what: "call", tag }),
    }
}

newtypes!(ChannelId CommandId ConnectionId DialId JobId LookupId PublishId RequestId Time UnixTime);

choice!(Direction {
    0 => Inbound,
    1 => Outbound,
});
choice!(Topic {
    0 => Commitments,
    1 => TxLists,
});
choice!(Protocol {
    0 => GetHead,
    1 => GetCommitments,
    2 => GetTxList,
});
choice!(RequestFailure {
    0 => Timeout,
    1 => Closed,
    2 => Unreachable,
    3 => Unsupported,
    4 => BadFrame,
});
choice!(DialFailure {
    0 => Unreachable,
    1 => WrongPeer,
    2 => Undialable,
    3 => Denied,
});
choice!(PublishOutcome {
    0 => Sent,
    1 => NoPeers,
    2 => Busy,
    3 => Duplicate,
    4 => Refused,
});
choice!(Found {
    0 => Signer(signer),
    1 => Hash(hash),
});
choice!(Record {
    0 => Committed { block_number, hash },
    1 => Peer { peer, score, as_of, ban_ends },
    2 => Known(node),
});
choice!(ChainLabel {
    0 => Missing,
    1 => Chain(chain),
    2 => Unreadable,
});
fields!(NodeRecord { peer, sequence, chain, addresses, text });
fields!(KnownNode { record, last_success });
fields!(JobDone { id, found });
fields!(Spoken { get_head, get_commitments, get_txlist, gossip });
fields!(SyncTip { block_number, preconfirmation_hash });
fields!(Window { start, end, preconfer, settled });

choice!(Input {
    0 => ConnectionOpened { peer, connection, direction, address, dial },
    1 => ConnectionClosed { peer, connection },
    2 => DialFailed { dial, failure },
    3 => PeerIdentified { peer, spoken },
    4 => PeerSubscribed { peer, topic },
    5 => PeerUnsubscribed { peer, topic },
    6 => GossipReceived { peer, message, topic, data },
    7 => RequestReceived { peer, channel, protocol, body },
    8 => RequestBroken { peer },
    9 => ChannelClosed { channel },
    10 => ResponseReceived { request, body },
    11 => RequestFailed { request, failure },
    12 => PublishFinished { publish, outcome },
    13 => JobFinished(done),
    14 => RecordFound { record },
    15 => LookupFinished { lookup, succeeded },
    16 => AddressSeen { peer, address },
});

choice!(Command {
    0 => PublishCommitment(signed),
    1 => PublishTxList(txlist),
    2 => GetHead { peer },
    3 => GetCommitments { start, count, peer },
    4 => GetTxList { hash, peer },
    5 => Dial { address },
    6 => Disconnect { peer },
    7 => BlockPeer { peer },
    8 => UnblockPeer { peer },
    9 => BlockAddress { address },
    10 => UnblockAddress { address },
    11 => BlockSubnet { subnet },
    12 => UnblockSubnet { subnet },
    13 => Protect { peer },
    14 => Unprotect { peer },
    15 => Trust { peer },
    16 => Distrust { peer },
    17 => LiftBan { peer },
    18 => UpdateSchedule(windows),
    19 => MoveSyncTip(tip),
    20 => Restore(records),
    21 => MarkExecuted { block_number },
    22 => MarkFailed { block_number },
});
