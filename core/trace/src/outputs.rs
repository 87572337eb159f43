//! All that the machine said in one step, as one number.
//!
//! Every field of every output counts, through the canonical bytes of `bytes`, and so do the answer to a command and the deadline that the
//! machine asks to be woken at. Nothing here is read back: a replay makes the outputs again and digests them again.

use std::hash::Hasher;

use preconf_core::{
    Accepted, Action, CommandError, CommandId, DecodeError, Event, Evidence, Fault, GateFull, GateRefusal, HeldId, Job, Outcome, Output,
    ParentRule, PreconfHead, PublishError, RawTxList, Refusal, RequestError, Response, ScheduleError, Source, Standing, Time, Timer,
    Verdict, Work,
};
use twox_hash::xxhash3_64::{DEFAULT_SECRET_LENGTH, RawHasher, SecretBuffer};

use crate::bytes::{Encode, Sink, encode_choice, encode_fields, newtypes};

/// What became of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Outputs that were taken before the next step.
    pub outputs: u64,
    /// Were they all that there were? A driver that takes its time leaves some for a later step.
    pub drained: bool,
    /// XXH3 (64 bits) over the canonical bytes of the answer to a command, of each output that was taken, and of the deadline after them.
    pub digest: u64,
}

/// Adds up what a machine says in one step.
///
/// ```
/// use preconf_core::{Action, Output, PeerId};
/// use preconf_trace::StepDigest;
///
/// let digest = |score| {
///     let mut digest = StepDigest::default();
///     digest.output(&Output::Net(Action::SetScore { peer: PeerId::from_bytes(&[0, 1, 7]).unwrap(), score }));
///     digest.end(None, true).digest
/// };
/// assert_eq!(digest(-1), digest(-1));
/// assert_ne!(digest(-1), digest(-2));
/// ```
#[derive(Clone)]
pub struct StepDigest {
    hash: RawHasher<&'static [u8; DEFAULT_SECRET_LENGTH]>,
    outputs: u64,
}

impl Default for StepDigest {
    fn default() -> Self {
        Self { hash: RawHasher::new(SecretBuffer::default()), outputs: 0 }
    }
}

impl std::fmt::Debug for StepDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepDigest").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

impl StepDigest {
    /// The machine answered a command.
    pub fn answer(&mut self, answer: &Result<CommandId, CommandError>) {
        answer.encode(self);
    }

    /// It gave an output.
    pub fn output(&mut self, output: &Output) {
        self.outputs += 1;
        output.encode(self);
    }

    /// How many outputs it gave so far.
    pub fn outputs(&self) -> u64 {
        self.outputs
    }

    /// The step is over; the machine wants to be woken then.
    pub fn end(mut self, deadline: Option<(Time, Timer)>, drained: bool) -> Mark {
        deadline.encode(&mut self);
        Mark { outputs: self.outputs, drained, digest: self.hash.finish() }
    }
}

impl Sink for StepDigest {
    fn put(&mut self, bytes: &[u8]) {
        self.hash.write(bytes);
    }
}

newtypes!(HeldId);

encode_choice!(Output {
    0 => Net(action),
    1 => Job(job),
    2 => App(event),
    3 => Keep(record),
});
encode_choice!(Action {
    0 => Publish { publish, topic, data },
    1 => ReportGossip { message, peer, verdict },
    2 => SendRequest { request, peer, protocol, body },
    3 => Respond { channel, response },
    4 => DropRequest { channel },
    5 => CancelRequest { request },
    6 => Dial { dial, address },
    7 => Disconnect { peer },
    8 => CloseConnection { connection },
    9 => Block { peer },
    10 => Unblock { peer },
    11 => SetScore { peer, score },
    12 => LookUp { lookup },
    13 => Introduce { record },
    14 => SeenAt { address },
});
encode_choice!(Event {
    0 => CommandFinished { command, outcome },
    1 => PeerConnected { peer },
    2 => PeerDisconnected { peer },
    3 => StandingChanged { peer, standing, rule },
    4 => CommitmentAccepted { commitment, source },
    5 => TxListStored { hash, len_bytes, source },
    6 => MessageRefused { peer, topic, refusal },
    7 => BlockReady { commitment, txlist },
    8 => Handoff { commitment, next },
    9 => Forked { canonical, other },
    10 => EvidenceFound { evidence, signer, block_number },
    11 => SyncProgress { from, at, to },
    12 => Synced { head },
    13 => ExecutionFailed { block_number, again_in },
    14 => ExecuteAgain { from },
});
encode_choice!(Outcome {
    0 => Published(message),
    1 => NotPublished(error),
    2 => Head { peer, head },
    3 => Commitments { peer, commitments },
    4 => TxList { peer, txlist },
    5 => RequestFailed { peer, error },
    6 => Connected(peer),
    7 => NotConnected(failure),
    8 => Gated(refusal),
});
encode_fields!(Job { id, work });
encode_choice!(Work {
    0 => Recover { commitment, domain },
    1 => Hash { txlist },
});
encode_choice!(Response {
    0 => Head(head),
    1 => Commitments(page),
    2 => TxList(list),
});
encode_fields!(PreconfHead { block_number, submission_window_end });
encode_fields!(RawTxList { hash, txlist });
encode_choice!(Source {
    0 => Gossip(peer),
    1 => Response(peer),
    2 => Own,
    3 => Kept,
});
encode_choice!(Verdict {
    0 => Accept,
    1 => Ignore,
    2 => Reject,
});
encode_choice!(Standing {
    0 => Healthy,
    1 => Throttled,
    2 => Pruned,
    3 => Banned,
});
encode_fields!(Accepted { signed, hash, signer, block_number, window_end });
encode_choice!(Fault {
    0 => Equivocation,
    1 => AfterEop,
    2 => BrokenLink,
});
encode_fields!(Evidence { fault, first, second });
encode_choice!(Timer {
    0 => Request(request),
    1 => Verdict(held),
    2 => Hold(held),
    3 => TxListMissing(hash),
    4 => Orphan(hash),
    5 => Unsent(command),
    6 => Heads,
    7 => RequestCapacity,
    8 => MissingParent,
    9 => Unheard,
    10 => Ban(peer),
    11 => Use(peer),
    12 => Execute,
    13 => Decay,
    14 => Redial(peer),
    15 => LookUp,
    16 => DialFound,
    17 => Exchange,
});

encode_choice!(CommandError {
    0 => Publish(error),
    1 => NoPeer(protocol),
    2 => NotConnected,
    3 => Unsupported(protocol),
    4 => TooManyRequests { in_flight, max },
    5 => BadCount { count, min, max },
    6 => Gated(refusal),
    7 => TooManyDials { max },
    8 => ListFull(full),
    9 => NotBanned,
    10 => Schedule(error),
    11 => NotReady { block_number },
});
encode_choice!(PublishError {
    0 => Refused(refusal),
    1 => Unsent,
    2 => QueueFull { max, max_bytes },
    3 => Network,
});
encode_choice!(RequestError {
    0 => Failed(failure),
    1 => Refused(refusal),
});
encode_choice!(ScheduleError {
    0 => Empty { start, end },
    1 => Overlap { start, previous_end },
    2 => TooMany { len, max },
});
encode_choice!(GateRefusal {
    0 => NoPeerId,
    1 => PeerBlocked,
    2 => Banned,
    3 => Connected,
    4 => Dialing,
    5 => AddressBlocked,
    6 => SubnetBlocked(subnet),
    7 => NeighbourhoodFull { max },
    8 => Redialed { limit, again_at },
});
impl Encode for GateFull {
    /// It says nothing but that it is.
    fn encode(&self, _: &mut impl Sink) {
        let Self = self;
    }
}
encode_choice!(Refusal {
    0 => Malformed(error),
    1 => WrongSlasher,
    2 => NoTxListHash,
    3 => Duplicate,
    4 => Stale,
    5 => TooFarAhead,
    6 => Late,
    7 => ScheduleUnknown,
    8 => WrongWindow { settled },
    9 => HighS,
    10 => BadSignature,
    11 => WrongSigner { settled },
    12 => Equivocation,
    13 => AfterEop,
    14 => ParentUnknown,
    15 => ParentRule(rule),
    16 => Fork,
    17 => Own,
    18 => NoRoom,
    19 => EmptyTxList,
    20 => OverQuota,
    21 => WrongHash,
    22 => NotAsked,
    23 => BrokenPage,
    24 => BadFrame,
    25 => Pruned,
    26 => RateLimited,
    27 => Crowded,
});
encode_choice!(DecodeError {
    0 => Length { len, expected },
    1 => TooShort { len, min },
    2 => Bool(byte),
    3 => Offset { offset, expected },
    4 => TooLong { len, max },
    5 => Ragged { len, element },
});
encode_choice!(ParentRule {
    0 => BlockNumber,
    1 => Timestamp,
    2 => GasLimit,
    3 => Anchor,
    4 => Proposal,
    5 => Window,
    6 => Host(name),
});
