//! What does a run look like?
//!
//! A [`Timeline`] watches machines from outside: it is told each [`Output`](preconf_core::Output) with its time and node, and what befell
//! the network as [`Mark`]s. It never grows with the length of a run: time lies in bins that double their width, delays in buckets, rare
//! events in bounded lists. A [`Report`] puts it beside a [`Summary`] and writes one page of HTML that needs no network, or one JSON object.
//!
//! A simulation has many nodes and knows who is hostile: a [`Spectator`] looks on at its world. A trace has one node, and peers that it knows
//! by their scores: [`Reliving`] follows it as it is relived. Both feed the same timeline. Numbers such as `P11.2` name rules of the protocol;
//! [`preconf_core::protocol`] has the text of every one.
//!
//! ```
//! use std::time::Duration;
//! use preconf_report::{Mark, Report, Side, Summary, Timeline};
//! use preconf_core::{Action, Output, PeerId, Time};
//!
//! let (mut timeline, liar) = (Timeline::default(), PeerId::from_bytes(&[0, 1, 9]).unwrap());
//! let alice = timeline.add_node("alice");
//! timeline.name_peer(liar, "liar", Side::Hostile);
//! timeline.started(Time::ZERO, alice);
//! timeline.mark(Time::from_millis(500), Mark::fault("the liar lies"));
//! timeline.output(Time::from_millis(700), alice, &Output::Net(Action::Block { peer: liar }));
//!
//! let summary = Summary { scenario: "a liar".into(), virtual_time: Duration::from_secs(1), ..Summary::default() };
//! assert_eq!(timeline.bans().hostile, 1);
//! assert!(Report::new(summary, timeline).html().starts_with("<!doctype html>"));
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod axis;
mod blocks;
mod data;
mod html;
mod marks;
mod reliving;
mod scores;
mod spectator;
mod summary;
mod tally;
mod timeline;

pub use marks::{Mark, MarkKind};
pub use preconf_sim::Spread;
pub use reliving::Reliving;
pub use scores::Side;
pub use spectator::Spectator;
pub use summary::{Report, RunKind, Summary};
pub use timeline::{Bans, Timeline};

/// Do the examples of the README compile and run?
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
