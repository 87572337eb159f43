//! What a preconfirmation node must not forget: durable before public, one writer, safe after every restart.
//!
//! A preconfer that says two things is slashed. So nothing of ours leaves the node before the record of it is on disk (P5.9a), and what the
//! machine of [`preconf_core`] wants kept comes to a [`Store`]: a trait that never blocks, for any runtime. [`MemoryStore`] is for tests;
//! `RedbStore`, behind the feature `redb`, keeps records on disk:
//!
//! ```text
//!  DIR/LOCK               one process at a time, freed by the system when it ends (P5.9c)
//!  DIR/commitments.redb   what our keys have committed to: written at once, kept apart, never written to once it is damaged
//!  DIR/chain.redb         the chain, its txlists, evidence, peers and bans (P7.7), known nodes, schedule, sync tip: gathered, replaced if damaged
//! ```
//!
//! - **Confirmed is durable.** Two phases of redb for each commit, file and directory synced, and the path looked up once more before anything
//!   is confirmed. The tests crash at every write and keep any part of what was not synced.
//! - **Damage spreads to nothing else.** Each row has a checksum. A damaged `chain.redb` is moved aside, and what is readable of it is taken over. With
//!   damaged commitments the node follows, and does not publish until its operator says so ([`accept_damage`]).
//! - **A failing disk ends nothing** (P10.4). A write that fails is told, what can wait is tried again, and the store goes on when the disk does;
//!   so also where the disk takes nothing from the start on, if what is stored can be read.
//! - **It knows whose it is**: its form, its chain, its signers. A directory of somebody else is refused unchanged, with what to do.
//! - **Bounded**, see [`Limits`], on disk and in what waits for it.
//! - **For people**: [`inspect`] for what is there and what is damaged, [`export`] and [`import`] so that a key can move with its promises.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "redb"), allow(rustdoc::broken_intra_doc_links))]

mod key;
mod limits;
mod memory;
#[cfg(feature = "redb")]
mod on_disk;
mod store;

pub use limits::Limits;
pub use memory::MemoryStore;
#[cfg(feature = "redb")]
pub use on_disk::*;
pub use store::{Done, Store};

/// Do the examples of the README compile and run?
#[cfg(all(doctest, feature = "redb"))]
#[doc = include_str!("../README.md")]
struct Readme;
