//! Whom do we deal with, and on what terms?
//!
//! Pure parts without timers or outputs: what a peer's conduct does to its score (P7), how much it may ask of us (P6.6, P6.7), and whom we
//! connect to at all (P8). `table` holds who is connected and who is remembered, `choice` says which of them is asked; `terms`, `mirror`,
//! `dialing`, `pruning` and `remember` turn what the parts say into actions, and `operator` takes our own user's commands about peers.

pub(crate) mod address;
pub(crate) mod choice;
pub(crate) mod conduct;
pub(crate) mod connections;
pub(crate) mod dialing;
pub(crate) mod gate;
pub(crate) mod ledger;
pub(crate) mod limit;
pub(crate) mod mirror;
pub(crate) mod operator;
pub(crate) mod pace;
pub(crate) mod pruning;
pub(crate) mod remember;
pub(crate) mod score;
pub(crate) mod subnet;
pub(crate) mod table;
pub(crate) mod terms;
