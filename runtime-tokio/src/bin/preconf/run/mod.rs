//! `preconf run`
pub(crate) mod commands;
pub(crate) mod schedule_file;
