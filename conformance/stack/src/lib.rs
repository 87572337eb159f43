//! What does the node as it ships do, in a world of which every byte follows from a seed?
//!
//! The simulator (`preconf-sim`) plays the pure machine. What lies between it and the world is played here: the driver's loop, gossipsub's mesh,
//! noise, yamux, identify, request-response, reconnects. All of it is unmodified, from the lock file that ships; `preconf-interpose` answers for
//! the system's clock, chance and timer thread, and a virtual TCP stands where a runtime has its sockets. The same seed gives the same events,
//! the same bytes on every wire and the same order of tasks; another seed, others.
//!
//! ```text
//!  scenario ----> run: agenda of faults, L1, checks
//!                  |
//!                 world: time goes to the next event or timer
//!                  |-- executor: tasks of all nodes, in an order that the dice choose
//!                  |-- net: lines, virtual TCP, libp2p's Transport
//!                  |-- node: driver, application, preconfer; disk
//!                  '-- watch: what applications saw
//! ```
//!
//! A process plays one run ([`Scenario::play`]), since libp2p's ids are counted by the process; the program `preconf-stack` starts one for each
//! seed. It needs Linux with glibc. What it does not have: QUIC and discovery (sockets of their own), redb's threads (the store is a disk in
//! memory), and the cost of computing (time stands still while a task runs).

#![cfg_attr(docsrs, feature(doc_cfg))]

/// A node, by its number.
pub use preconf_sim::NodeId;

mod checks;
mod clock;
mod disk;
mod executor;
pub mod net;
mod node;
mod preconfer;
mod report;
mod run;
pub mod scenario;
mod watch;
mod world;

pub use report::{Latencies, Report};
pub use run::{Change, Played};
pub use scenario::Scenario;
