//! How much is kept?

use std::time::Duration;

/// The bounds of a store. What they leave out is the oldest of its kind, or the lowest block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Our own commitments that are always kept, the newest ones. Default 3840, as many as a machine remembers (P10.1); more are forgotten
    /// once their window is over for [`Limits::own_for`].
    pub own_at_least: usize,
    /// How long all of our own commitments are kept. Default 30 days: ours, longer than any dispute about them.
    pub own_for: Duration,
    /// Our own commitments that are kept at most, however young; but none whose window ended less than a day ago is ever forgotten.
    /// Default 65 536: ours, a month of a busy preconfer, 32 MiB.
    pub own_at_most: usize,
    /// How long a txlist of our own is kept after its window's end, to be published again. Default 1 h: ours, late enough for any peer.
    pub own_txlists_for: Duration,
    /// Commitments of the chain, the highest ones. Default 3840 (P10.1).
    pub commitments: usize,
    /// Txlists of the chain, in bytes. Default 256 MiB (P10.1).
    pub txlist_bytes: u64,
    /// Evidence, in bytes. Default 4 MiB: ours, some 5000 faults, weeks of them.
    pub evidence_bytes: u64,
    /// Peers. Default 4096 (P7.6).
    pub peers: usize,
    /// Nodes of use. Default 4096: ours, four times what a machine has candidates (P8.8).
    pub known: usize,
    /// Records that may wait for the disk, of our own and of all others each. Default 8192.
    pub waiting: usize,
    /// The same in bytes. Default 64 MiB: ours, thirty of the largest txlists.
    pub waiting_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            own_at_least: 3840,
            own_for: Duration::from_secs(30 * 24 * 3600),
            own_at_most: 1 << 16,
            own_txlists_for: Duration::from_secs(3600),
            commitments: 3840,
            txlist_bytes: 256 << 20,
            evidence_bytes: 4 << 20,
            peers: 4096,
            known: 4096,
            waiting: 8192,
            waiting_bytes: 64 << 20,
        }
    }
}
