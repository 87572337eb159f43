//! What the machine does, through its public front door: a file for each behaviour, in one program, so that they are compiled and linked once.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod catch_up;
mod chaos;
mod commitments;
mod connections;
mod decoding;
mod discovery;
mod evidence;
mod framing;
mod health;
mod lives;
mod names;
mod observed;
mod peers;
mod promises;
mod publishing;
mod rate_limit_vectors;
mod regressions;
mod reputation_vectors;
mod requests;
mod schedule;
mod settled_otherwise;
mod signatures;
mod stalls;
mod txlists;
