//! The preconfirmation node on async-std, and on the smol family underneath.
//!
//! The protocol lives in [`preconf_core`], a value that is told what happened and answers with what to do; [`preconf_libp2p`] carries its
//! orders to the network; [`preconf_node`] is the loop that passes things between them and you. What is left for this crate is thin:
//! async-std's sockets, its clock, its tasks and its threads for slow work. It has the files, the names and the functions of `preconf-tokio`,
//! and TCP on top, which libp2p has for tokio alone. Numbers such as `P5.7` name rules of the protocol; [`preconf_core::protocol`] has the text
//! of every one.
//!
//! # Who should use it
//!
//! Programs that run on async-std or smol today. **async-std is discontinued upstream** (RUSTSEC-2025-0052): it gets no fixes any more, and a
//! new program does better with smol, on which this crate runs as well, or with tokio and `preconf-tokio`.
//!
//! # A node
//!
//! [`node()`] gives three values. The driver is a future to spawn. The clonable [`NetworkHandle`] carries commands to it, each
//! with its answer. [`NetworkEvents`] is what the node has to tell. Here a node finds another one and asks for its head:
//!
//! ```
//! use preconf_async_std::preconf_core::{ChainId, Config, Event};
//! use preconf_async_std::{Keypair, NetworkConfig, NetworkEvent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # async_std::task::block_on(async {
//! let start = || {
//!     let mut config = NetworkConfig::new(Config::new(ChainId(167_000)), Keypair::generate_secp256k1());
//!     config.listen.push("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr"));
//!     preconf_async_std::node(config)
//! };
//! let (driver, alice, mut alices_events) = start()?;
//! async_std::task::spawn(driver.run());
//! let (driver, bob, _bobs_events) = start()?;
//! async_std::task::spawn(driver.run());
//!
//! let Some(NetworkEvent::Listening { address }) = alices_events.recv().await else { panic!("a node tells first where it listens") };
//! let peer = bob.dial(address).await?;
//! assert_eq!(peer, alice.local_peer_id());
//! while let Some(event) = alices_events.recv().await {
//!     if event == NetworkEvent::Core(Event::PeerConnected { peer: bob.local_peer_id() }) {
//!         break;
//!     }
//! }
//! alice.shutdown().await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! A node accepts no block before its host has said who is elected when ([`NetworkHandle::update_schedule`]) and where L1 stands
//! ([`NetworkHandle::move_sync_tip`]); "Starting" in [`preconf_core`] has the order. From then on [`NetworkHandle::publish_commitment`] and
//! [`NetworkHandle::publish_txlist`] tell the network of blocks of one's own, and each block that may be executed comes as an event,
//! `BlockReady`; [`NetworkHandle::mark_executed`] says that it was.
//!
//! # Under smol
//!
//! Sockets, timers and the pool for slow work are those of the smol family and run under any executor; only [`environment`] names async-std's own,
//! for connections. `examples/smol.rs` gives them another one. Nothing of async-std's executor is then ever started.
//!
//! # Features
//!
//! `discv5` adds discovery, on a thread with a small tokio runtime of its own, because the `discv5` crate knows no other. Off by default: without
//! it, no tokio is among the dependencies.
//!
//! # Reading events
//!
//! Events must be read, or [`NetworkEvents`] dropped. While [`NetworkConfig::event_capacity`] of them wait, the node reads nothing from
//! strangers, so that no event is ever lost; deadlines and our own commands go on from a reserve. If even that is used up, commands are
//! refused with [`HandleError::EventsUnread`].

#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
#[cfg(feature = "discv5")]
mod discovery;
mod jobs;
mod node;
mod tcp;
mod transport;

pub use clock::SystemClock;
#[cfg(feature = "discv5")]
pub use discovery::{Discv5Thread, discv5};
pub use jobs::BlockingPool;
pub use node::{environment, node};
pub use tcp::Tcp;
pub use transport::transport;

#[cfg(feature = "discv5")]
pub use preconf_discv5::{Discv5, Discv5Config, Discv5Error};
#[cfg(feature = "discv5")]
pub use preconf_enr;
pub use preconf_node::{
    BoxedWork, Clock, Discovery, DiscoveryNews, Environment, HandleError, JobRunner, Keypair, LocalSigner, LookUp, Multiaddr,
    NetworkCommand, NetworkConfig, NetworkDriver, NetworkEvent, NetworkEvents, NetworkHandle, NetworkStatus, NoDiscovery, PeerLists,
    RecordConfig, Resolving, SignError, Signer, SignerError, SigningRequest, Sleep, StartError, preconf_core, preconf_libp2p,
    sign_commitment,
};

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
