//! What was committed to, in a form that a person can read, keep and carry to another machine.
//!
//! A key that moves takes its promises along: the node that it leaves is stopped and its directory exported; the file is imported where the
//! key goes before a node starts there. Importing only ever adds, and refuses what contradicts what is there.

use std::collections::BTreeMap;

use preconf_core::{Address, B256, ChainId, OwnCommitment, SignedCommitment, StorageFailure, recover_any};
use serde::{Deserialize, Serialize};

use super::error::OpenError;
use super::report::Flaws;
use crate::key::Key;

/// Names the form, so that no other JSON is taken for it.
const FORMAT: &str = "preconf-commitments";
/// Version of the form.
const VERSION: u32 = 1;

/// What the keys of a node have committed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interchange {
    /// Which form this is.
    pub format: String,
    /// Its version.
    pub version: u32,
    /// The chain.
    pub chain_id: u64,
    /// Its signing domain.
    pub domain: B256,
    /// By age.
    pub commitments: Vec<Entry>,
}

/// One commitment. All but the last field is there for the reader, and must agree with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Who signed it.
    pub signer: Address,
    /// Its window's end, in unix seconds.
    pub window_end: u64,
    /// Its block number.
    pub block_number: u64,
    /// Its preconfirmation hash.
    pub hash: B256,
    /// That of the one before it.
    pub parent: B256,
    /// The signed commitment, all its 382 bytes in hex.
    pub ssz: String,
}

/// Two words about one block in one window: what no key may sign both of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{signer} committed to {kept} for block {block_number} of the window until {window_end}, and not to {offered}")]
pub struct Contradiction {
    /// Whose words they are.
    pub signer: Address,
    /// The window's end, in unix seconds.
    pub window_end: u64,
    /// The block number.
    pub block_number: u64,
    /// What the store holds, or the file says first.
    pub kept: B256,
    /// What the file says.
    pub offered: B256,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is in it is damaged.
    #[error("what was committed to is damaged: accept it first, see `accept_damage`; {0}")]
    Damaged(Flaws),
    /// It is no file of ours, or of a later version.
    #[error("this is {format:?} of version {version}, and only {FORMAT:?} of version {VERSION} is read: export it again with this version")]
    Form {
        /// What it says it is.
        format: String,
        /// And which version of it.
        version: u32,
    },
    /// It is of another chain.
    #[error("these are commitments on chain {}, and this node is on chain {}: give the file or the directory of the right chain", found.0, expected.0)]
    OtherChain {
        /// The file's.
        found: ChainId,
        /// The node's.
        expected: ChainId,
    },
    /// It is of another signing domain.
    #[error("these are commitments under domain {found}, and this node has {expected}: give the domain that they were signed under")]
    OtherDomain {
        /// The file's.
        found: B256,
        /// The node's.
        expected: B256,
    },
    /// An entry is not what it says.
    #[error("entry {at} makes no sense: its {field} does not fit its bytes")]
    Entry {
        /// Its place in the list, from 0.
        at: usize,
        /// Which of its fields.
        field: &'static str,
    },
    /// It contradicts what is stored, or itself.
    #[error("this contradicts what is stored: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Contradictions(Vec<Contradiction>),
    /// The disk.
    #[error("it cannot be written: {0}")]
    Storage(#[from] StorageFailure),
}

impl Interchange {
    pub(crate) fn new(chain_id: ChainId, domain: B256, commitments: &[OwnCommitment]) -> Self {
        let commitments = commitments.iter().map(Entry::new).collect();
        Self { format: FORMAT.to_owned(), version: VERSION, chain_id: chain_id.0, domain, commitments }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is no such JSON.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Writes it, for people to read.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers are JSON")
    }

    /// The commitments, each checked against its bytes and its signature.
    pub(crate) fn check(&self, chain_id: ChainId, domain: B256) -> Result<Vec<OwnCommitment>, ImportError> {
        if self.format != FORMAT || self.version != VERSION {
            return Err(ImportError::Form { format: self.format.clone(), version: self.version });
        }
        if self.chain_id != chain_id.0 {
            return Err(ImportError::OtherChain { found: ChainId(self.chain_id), expected: chain_id });
        }
        if self.domain != domain {
            return Err(ImportError::OtherDomain { found: self.domain, expected: domain });
        }
        let entries = self.commitments.iter().enumerate();
        entries.map(|(at, entry)| entry.check(domain).map_err(|field| ImportError::Entry { at, field })).collect()
    }
}

impl Entry {
    fn new(own: &OwnCommitment) -> Self {
        Self {
            signer: own.signer,
            window_end: own.window_end(),
            block_number: own.block_number(),
            hash: own.hash(),
            parent: own.signed.preconf().parent_preconfirmation_hash,
            ssz: format!("0x{}", hex::encode(own.signed.as_bytes())),
        }
    }

    /// The commitment, or which field does not fit.
    fn check(&self, domain: B256) -> Result<OwnCommitment, &'static str> {
        let bytes = hex::decode(self.ssz.trim_start_matches("0x")).map_err(|_| "ssz")?;
        let signed = SignedCommitment::decode(&bytes).map_err(|_| "ssz")?;
        let own = OwnCommitment { signer: self.signer, signed, txlist: None };
        let Self { signer: _, window_end, block_number, hash, parent, ssz: _ } = Self::new(&own);
        let fields = [
            ("window_end", window_end == self.window_end),
            ("block_number", block_number == self.block_number),
            ("hash", hash == self.hash),
            ("parent", parent == self.parent),
            ("signer", recover_any(&own.signed, domain) == Some(self.signer)),
        ];
        fields.iter().find(|(_, fits)| !fits).map_or(Ok(own), |(field, _)| Err(field))
    }
}

/// What is new of `offered`, if nothing of it contradicts what is held.
pub(crate) fn merge(held: &[OwnCommitment], offered: Vec<OwnCommitment>) -> Result<Vec<OwnCommitment>, Vec<Contradiction>> {
    let mut places: BTreeMap<Key, B256> = held.iter().map(|own| (Key::of_own(own), own.hash())).collect();
    let (mut new, mut contradictions) = (Vec::new(), Vec::new());
    for own in offered {
        let (key, offered) = (Key::of_own(&own), own.hash());
        match places.get(&key) {
            None => {
                places.insert(key, offered);
                new.push(own);
            }
            Some(kept) if *kept == offered => {}
            Some(kept) => contradictions.push(Contradiction {
                signer: own.signer,
                window_end: own.window_end(),
                block_number: own.block_number(),
                kept: *kept,
                offered,
            }),
        }
    }
    if contradictions.is_empty() { Ok(new) } else { Err(contradictions) }
}
