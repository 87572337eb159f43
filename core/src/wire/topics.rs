//! What are topics and protocols called on a chain (P2.1–P2.4)?

/// The L2 chain whose preconfirmations a node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ChainId(pub u64);

/// A gossip topic of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Topic {
    /// Signed commitments (P2.1).
    Commitments,
    /// Raw transaction lists (P2.2).
    TxLists,
}

impl Topic {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Commitments, Self::TxLists];

    /// The topic's name on the wire.
    ///
    /// ```
    /// use preconf_core::{ChainId, Topic};
    /// assert_eq!(Topic::Commitments.name(ChainId(167000)), "/taiko/167000/0/preconfirmationCommitments");
    /// ```
    pub fn name(self, chain: ChainId) -> String {
        let topic = match self {
            Self::Commitments => "preconfirmationCommitments",
            Self::TxLists => "rawTxLists",
        };
        format!("/taiko/{}/0/{topic}", chain.0)
    }
}

/// Topics of an older protocol that we never publish to (P2.4), as names on the wire.
pub fn legacy_topics(chain: ChainId) -> [String; 4] {
    ["preconfBlocks", "responsePreconfBlocks", "requestPreconfBlocks", "requestEndOfSequencingPreconfBlocks"]
        .map(|topic| format!("/taiko/{}/0/{topic}", chain.0))
}

/// A request protocol of ours (P2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Protocol {
    /// `get_head`
    GetHead,
    /// `get_commitments_by_number`
    GetCommitments,
    /// `get_raw_txlist`
    GetTxList,
}

impl Protocol {
    /// All three of them.
    pub const ALL: [Self; 3] = [Self::GetHead, Self::GetCommitments, Self::GetTxList];

    /// The protocol's name on the wire.
    ///
    /// ```
    /// use preconf_core::{ChainId, Protocol};
    /// assert_eq!(Protocol::GetHead.name(ChainId(1)), "/taiko/1/preconf/1/get_head");
    /// ```
    pub fn name(self, chain: ChainId) -> String {
        let protocol = match self {
            Self::GetHead => "get_head",
            Self::GetCommitments => "get_commitments_by_number",
            Self::GetTxList => "get_raw_txlist",
        };
        format!("/taiko/{}/preconf/1/{protocol}", chain.0)
    }
}
