//! The preconfirmation node on tokio.
//!
//! The protocol lives in [`preconf_core`], a value that is told what happened and answers with what to do; [`preconf_libp2p`] carries its
//! orders to the network; [`preconf_node`] is the loop that passes things between them and you. What is left for this crate is thin: tokio's
//! sockets, its clock, its tasks and its threads for slow work. Numbers such as `P5.7` name rules of the protocol; [`preconf_core::protocol`] has
//! the text of every one.
//!
//! # A node
//!
//! [`node()`] gives three values. The driver is a future to spawn. The clonable [`NetworkHandle`] carries commands to it, each
//! with its answer. [`NetworkEvents`] is what the node has to tell. Here a node finds another one and asks for its head:
//!
//! ```
//! use preconf_tokio::preconf_core::{ChainId, Config, Event};
//! use preconf_tokio::{Keypair, NetworkConfig, NetworkEvent};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let start = || {
//!     let mut config = NetworkConfig::new(Config::new(ChainId(167_000)), Keypair::generate_secp256k1());
//!     config.listen.push("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr"));
//!     preconf_tokio::node(config)
//! };
//! let (driver, alice, mut alices_events) = start()?;
//! tokio::spawn(driver.run());
//! let (driver, bob, _bobs_events) = start()?;
//! tokio::spawn(driver.run());
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
//! # }
//! ```
//!
//! A node accepts no block before its host has said who is elected when ([`NetworkHandle::update_schedule`]) and where L1 stands
//! ([`NetworkHandle::move_sync_tip`]); "Starting" in [`preconf_core`] has the order. From then on [`NetworkHandle::publish_commitment`] and
//! [`NetworkHandle::publish_txlist`] tell the network of blocks of one's own, and each block that may be executed comes as an event,
//! `BlockReady`; [`NetworkHandle::mark_executed`] says that it was.
//!
//! Nothing of one's own leaves the node before it is on disk (P5.9a): a node that publishes is given a store in its [`Environment`], such as
//! that of `preconf-store`, or says that it is [`Ephemeral`](preconf_core::Storage::Ephemeral).
//!
//! # Reading events
//!
//! Events must be read, or [`NetworkEvents`] dropped. While [`NetworkConfig::event_capacity`] of them wait, the node reads nothing from
//! strangers, so that no event is ever lost; deadlines and our own commands go on from a reserve. If even that is used up, commands are
//! refused with [`HandleError::EventsUnread`].
//!
//! # Features
//!
//! `quic` has a node speak QUIC beside TCP. Off by default: its TLS stack is the heaviest part of the build.
//!
//! # The loop
//!
//! Whoever wants a loop of their own needs no more than this; [`NetworkDriver::run`] adds bounds, back pressure and an orderly end.
//!
//! ```no_run
//! use preconf_tokio::preconf_core::{Command, Core, Event, Input, Output, StorageFailure, Time};
//! use preconf_tokio::preconf_libp2p::{Net, NetEvent};
//! use preconf_tokio::{Clock, SystemClock};
//! use tokio::sync::mpsc;
//!
//! async fn run(mut core: Core, mut net: Net, mut commands: mpsc::Receiver<Command>, mut told: impl FnMut(Event)) {
//!     let clock = SystemClock::new(tokio::runtime::Handle::current());
//!     loop {
//!         while let Some(output) = core.poll_output() {
//!             match output {
//!                 Output::Net(action) => net.apply(action), // hand over, never wait
//!                 Output::Job(job) => core.handle_input(clock.now(), Input::JobFinished(job.run())), // or on any thread
//!                 Output::App(event) => told(event),
//!                 Output::Persist { id, .. } => {
//!                     // Write it to disk, off this loop; here there is none.
//!                     core.handle_input(clock.now(), Input::PersistFailed { id, failure: StorageFailure::Gone });
//!                 }
//!             }
//!         }
//!         let due = core.poll_timeout().map_or(Time(u64::MAX), |(at, _)| at);
//!         tokio::select! {
//!             biased; // deadlines, then our own user, then strangers
//!             () = clock.sleep_until(due) => core.handle_timeout(clock.now()),
//!             command = commands.recv() => match command {
//!                 Some(command) => match core.handle_command(clock.now(), command) {
//!                     Ok(id) => println!("command {id} is under way"),
//!                     Err(error) => println!("refused: {error}"),
//!                 },
//!                 None => return,
//!             },
//!             event = net.next_event() => match event {
//!                 NetEvent::Input(input) => core.handle_input(clock.now(), input),
//!                 other => println!("{other:?}"),
//!             },
//!         }
//!     }
//! }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod discovery;
mod jobs;
mod node;
mod transport;

pub use clock::SystemClock;
pub use discovery::discv5;
pub use jobs::BlockingPool;
pub use node::{environment, node};
pub use transport::transport;

pub use preconf_discv5::{Discv5, Discv5Config, Discv5Error};
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
