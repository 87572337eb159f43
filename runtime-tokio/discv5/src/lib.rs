//! Discovery with discv5, the protocol that Ethereum's nodes find each other by.
//!
//! The `discv5` crate runs on tokio and nothing else. So it lives here, as one task on a tokio runtime that is handed in, behind channels that
//! can be polled from anywhere: under tokio it is the runtime of the node, under async-std a small one of its own.
//!
//! The package stands in tokio's folder because it names tokio, and needs nothing else there: it knows no node of either runtime, and both
//! depend on it.
//!
//! What it does is little. When to look, whom to keep and whom to dial is the machine's ([`preconf_core`]); what a record says is
//! [`preconf_enr`]'s. Here a look-up is a query for a random point of the network, and this node's own record is kept true: its ports
//! as the listeners come up, its address as configured, or as enough others see it. Numbers such as `P8.7` name rules of the protocol;
//! [`preconf_core::protocol`] has the text of every one.
//!
//! ```
//! use preconf_core::ChainId;
//! use preconf_discv5::{Discv5, Discv5Config};
//! use preconf_node::{Discovery, DiscoveryNews};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = libp2p_identity::Keypair::generate_secp256k1();
//! let config = Discv5Config { listen: vec!["127.0.0.1:0".parse()?], ..Discv5Config::new(Some(ChainId(167_000))) };
//! let mut discovery = Discv5::start(config, &identity, &tokio::runtime::Handle::current())?;
//! let DiscoveryNews::OwnRecord(record) = std::future::poll_fn(|context| discovery.poll_news(context)).await else { panic!("first its own") };
//! assert!(record.starts_with("enr:"));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod own;
mod service;
mod sockets;

pub use config::{Discv5Config, Discv5Error};
pub use service::Discv5;

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
