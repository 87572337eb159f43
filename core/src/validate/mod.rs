//! The rules of PROTOCOL.md §5 as pure functions, each in the file of the question it answers.

pub(crate) mod commitment;
pub(crate) mod parent;
pub(crate) mod txlist;
