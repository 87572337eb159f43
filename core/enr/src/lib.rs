//! The node records of the preconfirmation network (ENR, EIP-778).
//!
//! A record says who a node is and where it listens, signed by the node itself. One secp256k1 key is both a node's libp2p identity and
//! the key of its record, so that a record alone tells whom a dial must reach. Beside the usual keys a record has `quic` and `quic6`, the
//! UDP ports of QUIC, and [`CHAIN_KEY`]: the chain id as an RLP integer (rule P8.7; [`preconf_core::protocol`] has the text of every rule).
//!
//! ```
//! use preconf_core::{ChainId, ChainLabel};
//! use preconf_enr::{Endpoints, build, describe, parse, record_key};
//!
//! let identity = libp2p_identity::Keypair::generate_secp256k1();
//! let key = record_key(&identity)?;
//! let endpoints = Endpoints { ip4: Some([203, 0, 113, 7].into()), udp4: Some(9000), tcp4: Some(4001), ..Endpoints::default() };
//! let enr = build(&key, 1, Some(ChainId(167_000)), &endpoints)?;
//!
//! let record = describe(&parse(&enr.to_base64())?)?;
//! assert_eq!(record.peer.to_string(), identity.public().to_peer_id().to_string());
//! assert_eq!(record.chain, ChainLabel::Chain(ChainId(167_000)));
//! assert_eq!(record.addresses, ["/ip4/203.0.113.7/tcp/4001"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No runtime and no socket: this crate only builds and reads, and keeps the sequence number in a file where there is a directory for it
//! ([`SequenceFile`]).

#![cfg_attr(docsrs, feature(doc_cfg))]

mod bootnode;
mod build;
mod key;
mod read;
mod sequence;

pub use bootnode::{Bootnode, BootnodeError};
pub use build::{BuildError, Endpoints, build};
pub use key::{KeyError, record_key};
pub use read::{MAX_ENR_BYTES, ParseError, chain_label, describe, parse, peer_id};
pub use sequence::{SEQUENCE_FILE, SequenceError, SequenceFile, next_sequence};

/// A record with whichever key its author has.
pub type Enr = enr::Enr<enr::CombinedKey>;
/// What signs a record.
pub use enr::CombinedKey;

/// The key of a record that names the chain. Source: P8.7.
pub const CHAIN_KEY: &str = "taiko";
/// The key of a record that names the UDP port of QUIC over IPv4. Source: P8.7, as other Ethereum networks have it.
pub const QUIC_KEY: &str = "quic";
/// The same over IPv6.
pub const QUIC6_KEY: &str = "quic6";

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
