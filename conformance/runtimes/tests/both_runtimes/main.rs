//! Does a node behave alike under every runtime?
//!
//! One suite for all of them: a scenario is generic over the [`Runtime`](runtime::Runtime) of each of its two sides and runs for tokio, for
//! async-std, and for both mixed pairs. It waits outside of any runtime, on the thread of the test, so that nothing of a runtime is needed but
//! what the node itself uses. Real sockets on loopback, ports that the system chooses.
//!
//! A third runtime gets its row in `runtime.rs` and passes the same.

mod blocks;
mod injected;
mod line;
mod meetings;
mod names;
mod nodes;
mod runtime;
mod sockets;
mod start_and_stop;
mod traces;
mod transport;
mod two_nodes;
