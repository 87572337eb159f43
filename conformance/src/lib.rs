//! Does an implementation do what PROTOCOL.md says?
//!
//! [`vectors`] holds the core against golden data that a second implementation wrote: every file, every row, every field. What cannot be
//! read is a failure, never a skip, because a check that skips what it does not know cannot fail. [`sim`] puts real machines into a world of
//! their own, where every order of events can be tried and repeated. [`replay`] relives what a node was told, wherever that was recorded.
//! [`scenario`] says what a network must live through, [`model`] what a second, naive implementation would have said at every step.
//! [`report`] makes a page out of either, to look at.

mod deliveries;
pub mod model;
#[cfg(doctest)]
mod readme;
pub mod replay;
pub mod report;
pub mod scenario;
pub mod sim;
pub mod vectors;
