//! Are the peers that our user named connected?
//!
//! A peer that is not up yet, or that leaves, is dialed again with growing pauses (P8.5). Each has at most one dial or pause under way.

use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use multiaddr::Multiaddr;
use preconf_core::PeerId;
use preconf_tokio::{HandleError, NetworkHandle};

/// First pause. Source: P8.5.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause. Source: P8.5.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Keeps named peers connected.
pub(crate) struct Redial {
    handle: NetworkHandle,
    peers: Vec<Named>,
    dials: FuturesUnordered<BoxFuture<'static, (usize, Result<PeerId, HandleError>)>>,
}

struct Named {
    address: Multiaddr,
    /// Who answered there last.
    peer: Option<PeerId>,
    /// Before the next dial, should the one under way fail.
    pause: Duration,
    is_dialing: bool,
}

impl Redial {
    /// Starts to dial every address.
    pub(crate) fn new(handle: NetworkHandle, addresses: Vec<Multiaddr>) -> Self {
        let named = |address| Named { address, peer: None, pause: FIRST_PAUSE, is_dialing: false };
        let mut this = Self { handle, peers: addresses.into_iter().map(named).collect(), dials: FuturesUnordered::new() };
        (0..this.peers.len()).for_each(|index| this.dial_after(index, Duration::ZERO));
        this
    }

    /// Waits for a dial to end and sees to what follows. Waits for ever when none is under way. Cancel safe.
    pub(crate) async fn step(&mut self) {
        let Some((index, result)) = self.dials.next().await else { return std::future::pending().await };
        let named = &mut self.peers[index];
        named.is_dialing = false;
        match result {
            Ok(peer) => {
                tracing::info!(address = %named.address, %peer, "connected");
                (named.peer, named.pause) = (Some(peer), FIRST_PAUSE);
            }
            Err(HandleError::Stopped) => {}
            Err(error) => {
                let pause = named.pause;
                named.pause = longer(pause);
                tracing::warn!(address = %named.address, %error, next_try_in = ?pause, "peer not reached");
                self.dial_after(index, pause);
            }
        }
    }

    /// A peer has left.
    pub(crate) fn lost(&mut self, peer: PeerId) {
        for index in 0..self.peers.len() {
            if self.peers[index].peer == Some(peer) && !self.peers[index].is_dialing {
                self.dial_after(index, FIRST_PAUSE);
            }
        }
    }

    fn dial_after(&mut self, index: usize, pause: Duration) {
        let named = &mut self.peers[index];
        named.is_dialing = true;
        let (handle, address) = (self.handle.clone(), named.address.clone());
        self.dials.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            (index, handle.dial(address).await)
        }));
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        // P8.5
        let pauses: Vec<u64> =
            std::iter::successors(Some(FIRST_PAUSE), |pause| Some(longer(*pause))).take(11).map(|p| p.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }
}
