//! The commands of the program.

pub(crate) mod sim;
pub(crate) mod vectors;
