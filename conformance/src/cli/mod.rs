//! The program's subcommands, one a file.

pub(crate) mod replay;
pub(crate) mod sim;
pub(crate) mod vectors;
