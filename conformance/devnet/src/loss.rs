//! Which gossip is lost on its way?
//!
//! Each honest node loses a share of the gossip that arrives, before its machine sees it. Only gossip: what was lost must be found again by
//! requests. The seed decides which arrivals, by their number at each node; which message comes when is up to the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use preconf_core::Input;

use super::plan::digest;

/// Gossip counted at all honest nodes together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    arrived: AtomicU64,
    lost: AtomicU64,
}

impl Tally {
    /// Messages that arrived, the lost ones included.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Messages that were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// What one node loses.
#[derive(Debug)]
pub(crate) struct Loss {
    seed: u64,
    purpose: String,
    /// Of 2^64 arrivals so many are lost.
    odds: u64,
    arrived: u64,
    tally: Arc<Tally>,
}

impl Loss {
    /// A node, by its index, that loses this share, at least 0 and less than 1.
    pub(crate) fn new(share: f64, seed: u64, node: usize, tally: Arc<Tally>) -> Self {
        let odds = (share * 2f64.powi(64)) as u64; // saturates
        Self { seed, purpose: format!("loss at {node}"), odds, arrived: 0, tally }
    }

    /// Does this reach the machine?
    pub(crate) fn admits(&mut self, input: &Input) -> bool {
        if !matches!(input, Input::GossipReceived { .. }) {
            return true;
        }
        let draw = digest(self.seed, &self.purpose, self.arrived);
        let is_lost = u64::from_be_bytes(*draw.first_chunk().expect("32 bytes hold 8")) < self.odds;
        self.arrived += 1;
        self.tally.arrived.fetch_add(1, Ordering::Relaxed);
        self.tally.lost.fetch_add(u64::from(is_lost), Ordering::Relaxed);
        !is_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use preconf_core::{Bytes, ChannelId, MessageId, PeerId, Protocol, Topic};

    const DRAWS: u64 = 10_000;

    fn peer() -> PeerId {
        PeerId::from_bytes(&[1]).expect("a peer id")
    }

    fn gossip() -> Input {
        Input::GossipReceived { peer: peer(), message: MessageId([0; 20]), topic: Topic::Commitments, data: Bytes::new() }
    }

    fn run(share: f64, seed: u64, node: usize) -> (Vec<bool>, u64) {
        let tally = Arc::new(Tally::default());
        let mut loss = Loss::new(share, seed, node, Arc::clone(&tally));
        let admitted = (0..DRAWS).map(|_| loss.admits(&gossip())).collect();
        assert_eq!(tally.arrived(), DRAWS);
        (admitted, tally.lost())
    }

    #[test]
    fn about_the_share_is_lost_and_nothing_without_one() {
        let (admitted, lost) = run(0.2, 7, 0);
        assert!((1_800..=2_200).contains(&lost), "{lost} of {DRAWS}");
        assert_eq!(admitted.iter().filter(|admitted| !**admitted).count() as u64, lost);
        assert_eq!(run(0.0, 7, 0).1, 0);
    }

    #[test]
    fn a_seed_decides_what_each_node_loses() {
        assert_eq!(run(0.2, 7, 0), run(0.2, 7, 0));
        assert_ne!(run(0.2, 7, 0), run(0.2, 8, 0));
        assert_ne!(run(0.2, 7, 0), run(0.2, 7, 1));
    }

    #[test]
    fn only_gossip_is_lost() {
        let mut loss = Loss::new(0.999_999, 7, 0, Arc::default());
        let request = Input::RequestReceived { peer: peer(), channel: ChannelId(1), protocol: Protocol::GetHead, body: Bytes::new() };
        assert!(loss.admits(&request));
        assert!(!loss.admits(&gossip()));
    }
}
