//! The program's subcommands, one a file.

pub(crate) mod replay;
