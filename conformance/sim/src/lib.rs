//! Does a whole network of machines hold, whatever happens to it?
//!
//! A [`World`] owns any number of nodes, each a real [`Core`](preconf_core::Core), and everything between them: clocks, links, gossip,
//! requests, jobs. It is a queue ordered by (time, serial number) that jumps exactly to the next event or deadline and never ticks, because
//! ticking would hide a missing deadline. All chance comes from one seed: the same seed makes the same world, event for event, and
//! [`World::digest`] proves it. `check` says what must hold after every step and at the end.
//!
//! ```
//! use std::time::Duration;
//! use preconf_sim::{Failure, History, HistoryPlan, Setup, Terms, World};
//!
//! let history = History::write(HistoryPlan { blocks: 5, ..HistoryPlan::default() });
//! let mut world = World::new(7);
//! for _ in 0..3 {
//!     let node = world.add_node(Setup::of(&history));
//!     world.link_to_all(node, Terms::default());
//! }
//! world.publish(&history, Duration::from_secs(1), &[0, 1]);
//! world.run_for(Duration::from_secs(8))?;
//! world.settle(Duration::from_secs(30))?;
//! assert_eq!(world.status(2).ready_to, 5);
//! # Ok::<(), Failure>(())
//! ```
//!
//! What the world assumes: requests travel over ordered, reliable connections, so they are lost only with their connection; gossip may be
//! lost, repeated and reordered on any link. A message that is lost on arrival is lost for good, as gossipsub's duplicate cache makes it; one
//! that is lost on the way is told of again (IHAVE). Blocks come from a history that was signed before ([`World::publish`]), or from
//! preconfers that build on what they know, each by its own clock ([`World::elect`]). The rest stands in `gossip`, `link` and `connect`.
//! Numbers such as `P7.10` name rules of the protocol; [`preconf_core::protocol`] has the text of every one.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod agree;
mod build;
mod carry;
mod check;
mod connect;
mod deliveries;
mod dice;
mod discovery;
mod disk;
mod faults;
mod gossip;
mod history;
mod host;
mod jobs;
mod l1;
mod link;
mod load;
mod look;
pub mod model;
mod node;
mod observe;
mod owed;
mod preconfer;
mod puppet;
mod queue;
mod record;
pub mod scenario;
mod seeds;
mod spread;
mod strings;
mod trace;
mod turn;
mod words;
mod world;

pub use check::{Failure, Violation};
pub use deliveries::{Birth, Deliveries, Propagation, Spread};
pub use dice::Dice;
pub use disk::DiskTerms;
pub use history::{Block, History, HistoryPlan};
pub use jobs::JobOrder;
pub use l1::{L1, Made};
pub use link::Terms;
pub use node::{NodeId, Setup, node_of, peer_id};
pub use observe::{Call, Mark, Observer};
pub use owed::Lost;
pub use preconf_writer::{CHAIN, START};
pub use preconfer::{Election, block_of, gossip_of, txlist_of};
pub use puppet::{Answer, Hands, Puppet, Server, Slot};
pub use record::{TraceWriter, Traces, Unwritten};
pub use seeds::{at_scale, each_seed, each_seed_on_all_cores, seed_range, seeds};
pub use world::World;

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
