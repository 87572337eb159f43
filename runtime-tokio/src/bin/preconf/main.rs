//! `preconf`: a preconfirmation node on the command line.

mod devnet;
mod hexes;
mod json;
mod key;
mod run;

fn main() {}
