//! The preconfirmation node on tokio.
//!
//! The protocol lives in [`preconf_core`], a value that is told what happened and answers with what to do; [`preconf_libp2p`] carries its
//! orders to the network. What is left for this crate is thin: sockets, a clock, idle threads, and the loop in [`NetworkDriver`] that
//! passes things between them.
//!
//! [`NetworkDriver::new`] gives three values. The driver is a future to spawn. The clonable [`NetworkHandle`] carries wishes to it, each
//! with its answer. [`NetworkEvents`] is what the node has to tell; it must be read (or dropped): while it is full, the node reads
//! nothing from strangers, so that no event is ever lost.

mod clock;
mod config;
mod driver;
mod error;
mod events;
mod handle;
mod jobs;
mod transport;

pub use clock::{Clock, SystemClock};
pub use config::NetworkConfig;
pub use driver::{NetworkDriver, Parts};
pub use error::{HandleError, StartError};
pub use events::{NetworkEvent, NetworkEvents};
pub use handle::{NetworkCommand, NetworkHandle, NetworkStatus, PeerLists};
pub use jobs::{BlockingPool, JobRunner};
pub use transport::{Resolving, transport};

pub use libp2p_identity::Keypair;
pub use multiaddr::Multiaddr;
pub use preconf_core;
pub use preconf_libp2p;
