//! How are those types written down whose fields nobody may choose freely?
//!
//! All others derive it, behind the feature `serde`, for the traces of `preconf-trace` and for other compact formats: what reads a value back
//! decides which variant and which field it is by its place. These here refuse what their constructors refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::accepted::Accepted;
use crate::id::PeerId;
use crate::peer::subnet::Cidr;
use crate::wire::v1::SignedCommitment;

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(from)?;
        Self::from_bytes(&bytes).ok_or_else(|| D::Error::invalid_length(bytes.len(), &"a peer id of 1 to 44 bytes"))
    }
}

impl Serialize for SignedCommitment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for SignedCommitment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::decode(&Bytes::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// All its fields are written, and all that follows from others must.
impl<'de> Deserialize<'de> for Accepted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (signed, hash, signer, block_number, window_end): (SignedCommitment, B256, Address, u64, u64) = Deserialize::deserialize(from)?;
        let accepted =
            Self::of(signed, signer).filter(|one| (one.hash, one.block_number, one.window_end) == (hash, block_number, window_end));
        accepted.ok_or_else(|| D::Error::custom("an accepted commitment with another hash, number or window than its bytes say"))
    }
}

/// Labels of refusals, for what counts by them. A test sees to it that none is missing.
const LABELS: [&str; 40] = [
    "malformed",
    "wrong_slasher",
    "no_txlist_hash",
    "duplicate",
    "stale",
    "too_far_ahead",
    "late",
    "schedule_unknown",
    "wrong_window",
    "early",
    "high_s",
    "bad_signature",
    "wrong_signer",
    "equivocation",
    "after_eop",
    "parent_unknown",
    "parent_rule",
    "fork",
    "syncing",
    "own",
    "no_room",
    "empty_txlist",
    "over_quota",
    "wrong_hash",
    "unnamed",
    "not_asked",
    "broken_page",
    "bad_frame",
    "pruned",
    "crowded",
    "rate_limited",
    "no_peer_id",
    "peer_blocked",
    "banned",
    "connected",
    "dialing",
    "address_blocked",
    "subnet_blocked",
    "neighbourhood_full",
    "redialed",
];

/// The same name, of this build: a rule's number stands in the protocol's text.
pub(crate) fn find_name(name: &str) -> Option<&'static str> {
    const PROTOCOL: &str = include_str!("../PROTOCOL.md");
    let is_rule = (2..=8).contains(&name.len())
        && name.starts_with(['C', 'P', 'T'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let rule = || PROTOCOL.find(name).filter(|_| is_rule).map(|at| &PROTOCOL[at..at + name.len()]);
    LABELS.into_iter().find(|label| *label == name).or_else(rule)
}

/// A rule's number or a label that this build knows.
pub(crate) fn named<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    let name = String::deserialize(from)?;
    find_name(&name).ok_or_else(|| D::Error::custom("a rule or a label that this build does not know"))
}

/// Counts by such names.
pub(crate) fn by_name<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<&'static str, u64>, D::Error> {
    let counts: BTreeMap<String, u64> = Deserialize::deserialize(from)?;
    let known = counts.into_iter().map(|(name, count)| find_name(&name).map(|name| (name, count)));
    known.collect::<Option<_>>().ok_or_else(|| D::Error::custom("a label that this build does not know"))
}

/// What is shared is written like what is owned.
pub(crate) fn shared<T: Serialize, S: Serializer>(value: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(to)
}

/// An accepted commitment is written as its signer and its bytes; all else follows from these.
pub(crate) mod accepted {
    use std::sync::Arc;

    use alloy_primitives::Address;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::accepted::Accepted;
    use crate::wire::v1::SignedCommitment;

    pub(crate) fn serialize<S: Serializer>(accepted: &Arc<Accepted>, to: S) -> Result<S::Ok, S::Error> {
        (accepted.signer, &accepted.signed).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Accepted>, D::Error> {
        let (signer, signed): (Address, SignedCommitment) = Deserialize::deserialize(from)?;
        Accepted::of(signed, signer)
            .map(Arc::new)
            .ok_or_else(|| serde::de::Error::custom("a number or a window's end of more than 64 bits"))
    }
}
