//! What becomes of txlists?
//!
//! `store` has their bytes; `deliver` carries one from its bytes to its verdict, and finds those that are missing.

pub(crate) mod deliver;
pub(crate) mod store;
