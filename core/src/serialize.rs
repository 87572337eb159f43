//! How are those types written down whose fields nobody may choose freely?
//!
//! All others derive it, behind the feature `serde`, for the traces of `preconf-trace` and for other compact formats: what reads a value back
//! decides which variant and which field it is by its place. These here refuse what their constructors refuse.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
