//! `preconf devnet`
pub(crate) mod malice;
pub(crate) mod plan;
pub(crate) mod report;
