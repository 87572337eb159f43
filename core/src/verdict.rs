//! What becomes of a gossip message?

/// What gossip should do with a message (P5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Verdict {
    /// Forward it.
    Accept,
    /// Do not forward it, blame nobody.
    Ignore,
    /// Do not forward it, and who sent it is at fault.
    Reject,
}
