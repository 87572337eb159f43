//! Whom do we deal with, and on what terms?
//!
//! Parts that know nothing of the machine: `reputation` holds what a peer's conduct did to its score (P7), `table` who is connected and how
//! much may pass between us (P6.6, P6.7), `gater` and `dialing` whom we connect to at all (P8); `choice` says which peer is asked. `lifecycle`,
//! `pruning` and `operator` are where the machine asks them: when a peer comes and goes, when there are too many, and when our own user says so.

pub(crate) mod address;
pub(crate) mod choice;
pub(crate) mod conduct;
pub(crate) mod connections;
pub(crate) mod dialing;
pub(crate) mod gater;
pub(crate) mod ledger;
pub(crate) mod lifecycle;
pub(crate) mod limit;
pub(crate) mod operator;
pub(crate) mod outbound_limiter;
pub(crate) mod pruning;
pub(crate) mod remembered;
pub(crate) mod replacing;
pub(crate) mod reputation;
pub(crate) mod score;
pub(crate) mod subnet;
pub(crate) mod table;
