//! The preconfirmation node, less its runtime.
//!
//! The protocol lives in [`preconf_core`], a value that is told what happened and answers with what to do; [`preconf_libp2p`] carries its
//! orders to the network. Here is the loop that passes things between them, our own user and idle threads, with its bounds and its back
//! pressure. What it stands on comes in as [`Environment`]: sockets, tasks, a clock, threads for slow work. `preconf-tokio` and
//! `preconf-async-std` bring those of their runtime and nothing else. Numbers such as `P5.7` name rules of the protocol; [`preconf_core::protocol`]
//! has the text of every one.
//!
//! Whoever has another runtime, or a simulated world, brings their own:
//!
//! ```
//! use futures::executor::ThreadPool;
//! use futures::FutureExt;
//! use libp2p_core::transport::MemoryTransport;
//! use preconf_node::preconf_core::{ChainId, Config, Now, Time};
//! use preconf_node::preconf_libp2p::upgrade;
//! use preconf_node::{BoxedWork, Clock, JobRunner, Keypair, NetworkConfig, NetworkDriver, NetworkEvent, NoDiscovery, Environment};
//!
//! /// Time stands still: nothing in this example waits for it.
//! struct Still;
//!
//! impl Clock for Still {
//!     fn now(&self) -> Now {
//!         Now::default()
//!     }
//!
//!     fn sleep_until(&self, _: Time) -> futures::future::BoxFuture<'static, ()> {
//!         futures::future::pending().boxed()
//!     }
//! }
//!
//! /// Slow work is done on the spot.
//! struct Inline;
//!
//! impl JobRunner for Inline {
//!     fn run(&self, work: BoxedWork) {
//!         work();
//!     }
//!
//!     fn width(&self) -> usize {
//!         1
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let threads = ThreadPool::new()?;
//! let mut config = NetworkConfig::new(Config::new(ChainId(167_000)), Keypair::generate_secp256k1());
//! config.listen.push("/memory/0".parse()?);
//! let tasks = threads.clone();
//! let environment = Environment {
//!     transport: upgrade(MemoryTransport::new(), &config.keypair)?,
//!     executor: Box::new(move |task| tasks.spawn_ok(task)),
//!     jobs: Box::new(Inline),
//!     clock: Box::new(Still),
//!     discovery: Box::new(NoDiscovery::default()),
//!     store: None,
//!     records: Vec::new(),
//! };
//! let (driver, handle, mut events) = NetworkDriver::new(config, environment)?;
//! threads.spawn_ok(driver.run());
//! futures::executor::block_on(async {
//!     assert!(matches!(events.recv().await, Some(NetworkEvent::Listening { .. })));
//!     drop(handle); // the last one: the node shuts down
//!     assert_eq!(events.recv().await, None);
//! });
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! `test-faults` has a test or a devnet lose messages on their way to the machine. Off by default: a node in use has no such switch.
//!
//! # Reading events
//!
//! Events must be read, or [`NetworkEvents`] dropped. While [`NetworkConfig::event_capacity`] of them wait, the node reads nothing from
//! strangers, so that no event is ever lost; deadlines and our own commands go on from a reserve. If even that is used up, commands are
//! refused with [`HandleError::EventsUnread`].

#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod config;
mod discovery;
mod driver;
mod error;
mod events;
mod handle;
mod jobs;
mod machine;
mod record;
mod resolve;
mod ring;
mod signer;

pub use clock::Clock;
pub use config::NetworkConfig;
pub use discovery::{Discovery, DiscoveryNews, NoDiscovery};
pub use driver::{Environment, NetworkDriver};
pub use error::{HandleError, StartError};
pub use events::{NetworkEvent, NetworkEvents};
pub use handle::{NetworkCommand, NetworkHandle, NetworkStatus, PeerLists};
pub use jobs::{BoxedWork, JobRunner};
pub use record::RecordConfig;
pub use resolve::{LookUp, Resolving, Sleep};
pub use signer::{LocalSigner, SignError, Signer, SignerError, SigningRequest, sign_commitment};

pub use libp2p_identity::Keypair;
pub use multiaddr::Multiaddr;
pub use preconf_core;
pub use preconf_libp2p;

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
