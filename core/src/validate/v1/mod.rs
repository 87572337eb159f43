//! The rule set of protocol version 1, for the containers of `wire::v1`.

pub(crate) mod commitment;
pub(crate) mod parent;
pub(crate) mod txlist;
