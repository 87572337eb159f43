//! The machine's way to libp2p, for any runtime.
//!
//! [`Net`] owns a libp2p swarm and speaks the machine's language: [`Net::next_event`] yields what happened as
//! [`Input`](preconf_core::Input)s, [`Net::apply`] takes the machine's [`Action`](preconf_core::Action)s. libp2p's types stop here.
//!
//! ```text
//!            Input                        SwarmEvent
//!  Core  <-----------  inbound.rs   <-----------------  swarm: limits, block list, ping, identify,
//!        ----------->  outbound.rs  ----------------->         gossipsub, three request-response behaviours
//!            Action                       calls
//! ```
//!
//! No runtime is named in here: the transport and the executor come in, timers are those of the protocol crates. What a peer may cost
//! is bounded by [`NetConfig::connection_limits`], [`NetConfig::max_streams`] and the tables in `ids.rs`.
//!
//! Numbers such as `P3.4` name rules of the protocol; [`preconf_core::protocol`] has the text of every one.
//!
//! The loop is the same under every runtime; a driver adds deadlines, jobs and its own user:
//!
//! ```
//! use preconf_core::{Core, Now, Output};
//! use preconf_libp2p::{Net, NetEvent};
//!
//! async fn run(mut core: Core, mut net: Net, clock: impl Fn() -> Now) {
//!     loop {
//!         while let Some(output) = core.poll_output() {
//!             if let Output::Net(action) = output {
//!                 net.apply(action); // hand over, never await
//!             }
//!         }
//!         if let NetEvent::Input(input) = net.next_event().await {
//!             core.handle_input(clock(), input);
//!         }
//!     }
//! }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod behaviour;
mod codec;
mod config;
mod ids;
mod inbound;
mod net;
mod newest;
mod outbound;
mod pending;

pub use codec::{Body, Codec, FrameFault};
pub use config::{GossipScores, NetConfig};
pub use net::{Net, NetCounters, NetError, NetEvent, Transport, upgrade, upgrade_within};

pub use libp2p_identity::Keypair;
pub use libp2p_swarm::Executor;
pub use multiaddr::Multiaddr;

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
