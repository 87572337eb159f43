//! What can happen to a node next?
//!
//! A move is four bytes: what happens, with which peer, to which thing, and how. The first byte, and the second where a peer is chosen,
//! prefer what makes sense now; see [`choose`](crate::dice::choose).

use crate::dice::{Dice, choose};

use super::bench::Bench;

/// Peers that there are.
pub(crate) const PEERS: usize = 8;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// What happens.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// Every kind, plainest first.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];
        }
    };
}

kinds! {
    /// A peer connects, says that it speaks everything and joins both topics.
    Connect,
    /// It gossips a commitment.
    Commitment,
    /// A job under way comes back.
    JobDone,
    /// Time goes on, past every deadline on the way.
    Wait,
    /// It gossips a txlist.
    TxList,
    /// A request of ours is answered as an honest peer would.
    Answer,
    /// It is answered otherwise, or not.
    AnswerBadly,
    /// A peer asks something of us.
    Ask,
    /// An answer of ours is written.
    Written,
    /// Gossip says what became of a publication.
    Published,
    /// Our application publishes a commitment.
    PublishCommitment,
    /// Our application publishes a txlist, or a block whole.
    PublishTxList,
    /// Our application asks a peer something.
    Fetch,
    /// The sync tip moves.
    MoveTip,
    /// The host executed a block, or failed to.
    Execute,
    /// New windows.
    Schedule,
    /// Our operator deals with a peer, an address or a subnet.
    Operate,
    /// Our operator dials.
    Dial,
    /// A dial ends.
    DialEnds,
    /// Discovery finds a peer's record.
    RecordFound,
    /// A look-up ends.
    LookUpEnds,
    /// A connection closes.
    Close,
    /// A connection and nothing more, from some address.
    OpenOnly,
    /// A peer says what it speaks.
    Identify,
    /// A peer joins or leaves a topic.
    Subscribe,
    /// A request that is no frame.
    BrokenRequest,
    /// Gossip that resembles nothing.
    Noise,
    /// Something about ids that nobody gave out.
    Stray,
    /// The unix clock jumps.
    ClockJumps,
    /// The deadline handler is called though nothing is due.
    EarlyTimeout,
    /// The driver stops taking outputs, or begins again; or the disk becomes slow, or fast again.
    Drain,
    /// The process starts anew with what it had kept, or on a new disk.
    Restart,
    /// The node is asked how it is.
    Look,
    /// A peer says where it sees us.
    AddressObserved,
}

/// One move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) kind: Kind,
    pub(crate) who: u8,
    pub(crate) which: u8,
    pub(crate) how: u8,
}

impl Move {
    /// The next move of an input; none once it is exhausted.
    pub(crate) fn read(dice: &mut Dice<'_>, bench: &Bench) -> Option<Self> {
        if dice.is_exhausted() {
            return None;
        }
        let kind = choose(dice.byte(), Kind::ALL.len(), |kind| bench.makes_sense(Kind::ALL[kind]));
        let kind = Kind::ALL[kind];
        let who = choose(dice.byte(), PEERS, |peer| bench.fits(kind, peer)) as u8;
        Some(Self { kind, who, which: dice.byte(), how: dice.byte() })
    }
}
