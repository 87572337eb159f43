//! What becomes of commitments: which hold, which wait, and how do they link?
//!
//! `linked` is the table of what holds; `judge` carries a commitment from its bytes to its verdict, `held` keeps what waits.

pub(crate) mod held;
pub(crate) mod judge;
pub(crate) mod linked;
