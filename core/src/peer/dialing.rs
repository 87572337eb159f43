//! Whom do we dial, and when again (P8.1, P8.5)?
//!
//! At most `pending_out` dials are under way, one for each peer at most. A static peer is dialed for ever:
//!
//! | it is | what happens | it becomes |
//! |---|---|---|
//! | resting | its pause is over, the gater agrees and there is room | dialed |
//! | resting | its pause is over, but the gater refuses or there is no room | resting, longer |
//! | dialed | nobody answers, or the gater refuses who did | resting, longer |
//! | dialed | our own limits or blocks do not let it out | resting, as long as before |
//! | dialed, resting | a connection stands | connected |
//! | connected | the last connection is gone | resting; from the first pause on if the connection was steady |
//!
//! What a failure means for the peer that was to answer:
//!
//! | failure | charged, if it is remembered | the static peer's pause | counts for the redial limit (P8.1) |
//! |---|---|---|---|
//! | `Unreachable`, `WrongPeer` | failed to connect (P7.1) | grows | yes |
//! | `Undialable` | no: our transport's lack | grows | yes |
//! | `Denied` | no: our own doing | stays | no: nothing went out |
//!
//! Invariant: a static peer that is neither dialed nor connected has its timer.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{B256, keccak256};

use crate::config::Config;
use crate::config::error::ConfigError;
use crate::cx::Cx;
use crate::error::CommandError;
use crate::id::{CommandId, DialId, PeerId};
use crate::input::DialFailure;
use crate::machine::Core;
use crate::output::{Action, Outcome};
use crate::peer::address::{DialAddress, static_peer};
use crate::peer::conduct::Conduct;
use crate::peer::gater::{GaterRefusal, PeerState};
use crate::peer::ledger::Cause;
use crate::peer::score::Standing;
use crate::time::{Now, Time, Timer};

/// First pause before a static peer is dialed again. Source: P8.5.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause. Source: P8.5.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long a connection must have stood for the pauses to start anew. Ours: who hangs up right after the handshake is not hammered.
const STEADY: Duration = Duration::from_secs(60);

/// A dial under way.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Dial {
    peer: PeerId,
    /// Our user's command, if it was one.
    command: Option<CommandId>,
    /// Names the address to the gater.
    address: B256,
}

/// What a dial's end says of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// It was tried: the next pause is longer.
    Grows,
    /// It was not: the next pause is like the last one.
    Stays,
}

/// A peer that we stay connected to.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Static {
    /// Tried in turn.
    addresses: Vec<String>,
    turn: usize,
    /// The next pause lies between this and its double.
    pause: Duration,
    connected_since: Option<Time>,
}

/// What we dial.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Dials {
    by_id: BTreeMap<DialId, Dial>,
    statics: BTreeMap<PeerId, Static>,
}

impl Dials {
    /// Knows the static peers of a configuration.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut dials = Self::default();
        for address in &config.static_peers {
            let peer = static_peer(address)?;
            let new = || Static { addresses: Vec::new(), turn: 0, pause: FIRST_PAUSE, connected_since: None };
            dials.statics.entry(peer).or_insert_with(new).addresses.push(address.clone());
        }
        Ok(dials)
    }

    pub(crate) fn statics(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.statics.keys().copied()
    }

    pub(crate) fn is_static(&self, peer: &PeerId) -> bool {
        self.statics.contains_key(peer)
    }

    /// How many dials are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn is_dialing(&self, peer: &PeerId) -> bool {
        self.by_id.values().any(|dial| dial.peer == *peer)
    }

    /// Has this address dialed. The caller has seen that it may be.
    fn begin(&mut self, cx: &mut Cx, dial: Dial, address: String) -> DialId {
        let id = cx.mint.dials.next(DialId);
        self.by_id.insert(id, dial);
        cx.act(Action::Dial { dial: id, address });
        id
    }

    /// A peer's first connection stands.
    pub(crate) fn connected(&mut self, cx: &mut Cx, peer: &PeerId) {
        if let Some(known) = self.statics.get_mut(peer) {
            known.connected_since = Some(cx.now.mono);
            cx.timers.cancel(Timer::Redial(*peer));
        }
    }

    /// A peer's last connection is gone.
    pub(crate) fn lost(&mut self, cx: &mut Cx, peer: PeerId) {
        if let Some(known) = self.statics.get_mut(&peer)
            && known.connected_since.take().is_some_and(|since| cx.now.mono.since(since) >= STEADY)
        {
            known.pause = FIRST_PAUSE;
        }
        self.rest(cx, peer, Pause::Grows);
    }

    /// P8.5: sets the timer of a static peer that is not connected.
    fn rest(&mut self, cx: &mut Cx, peer: PeerId, next: Pause) {
        let Some(known) = self.statics.get_mut(&peer).filter(|known| known.connected_since.is_none()) else { return };
        let pause = known.pause;
        if next == Pause::Grows {
            known.pause = (pause * 2).min(LONGEST_PAUSE / 2);
        }
        let spread = usize::try_from(pause.as_millis()).unwrap_or(usize::MAX).saturating_add(1);
        let extra = Duration::from_millis(cx.dice.below(spread).unwrap_or(0) as u64);
        cx.timers.set(Timer::Redial(peer), cx.now.mono.after(pause + extra));
    }

    /// The address whose turn it is.
    fn next_address(&mut self, peer: &PeerId) -> Option<String> {
        let known = self.statics.get_mut(peer)?;
        let address = known.addresses.get(known.turn % known.addresses.len().max(1)).cloned();
        known.turn = known.turn.wrapping_add(1);
        address
    }
}

impl Core {
    /// A command of our user's to connect.
    pub(crate) fn dial_for_user(&mut self, now: Now, address: String) -> Result<CommandId, CommandError> {
        let peer = self.may_dial(now, &address)?;
        let command = self.cx.mint.commands.next(CommandId);
        self.dial(now, peer, Some(command), address);
        Ok(command)
    }

    /// A dial of a node that discovery found (P8.8).
    pub(crate) fn dial_found(&mut self, now: Now, address: String) -> Result<DialId, CommandError> {
        let peer = self.may_dial(now, &address)?;
        Ok(self.dial(now, peer, None, address))
    }

    /// P8.1 before a dial, and the bound on dials under way.
    fn may_dial(&self, now: Now, address: &str) -> Result<PeerId, CommandError> {
        let dialed = DialAddress::of(address);
        let state = dialed.peer.map(|peer| self.peer_state(now.mono, &peer)).unwrap_or_default();
        self.gater.ask_dial(now.mono, dialed.peer, dialed.text, dialed.ip, state)?;
        let max = self.cx.config.connections.pending_out as usize;
        if self.dials.under_way() >= max {
            return Err(CommandError::TooManyDials { max });
        }
        dialed.peer.ok_or(CommandError::Gated(GaterRefusal::NoPeerId))
    }

    /// What the gater must know of a peer.
    pub(crate) fn peer_state(&self, now: Time, peer: &PeerId) -> PeerState {
        PeerState {
            banned: self.reputation.standing(now, peer) == Standing::Banned,
            connected: self.peers.get(peer).is_some(),
            dialing: self.dials.is_dialing(peer),
        }
    }

    fn dial(&mut self, now: Now, peer: PeerId, command: Option<CommandId>, address: String) -> DialId {
        let name = keccak256(DialAddress::of(&address).text);
        self.gater.dialed(now.mono, name);
        self.dials.begin(&mut self.cx, Dial { peer, command, address: name }, address)
    }

    /// A dial of ours led to a connection, which stays or does not.
    pub(crate) fn dial_answered(&mut self, now: Now, dial: DialId, outcome: Outcome) {
        let Some(Dial { peer, command, .. }) = self.dials.by_id.remove(&dial) else { return };
        self.dials.rest(&mut self.cx, peer, Pause::Grows);
        let is_connected = matches!(outcome, Outcome::Connected(_));
        if self.discovery.dialing.remove(&dial) && is_connected {
            self.cx.stats.discovery.connected += 1;
        }
        if !is_connected {
            self.candidate_unreached(now, &peer, 1);
        }
        self.outbound_freed(now);
        if let Some(command) = command {
            self.cx.finish(command, outcome);
        }
    }

    /// A dial of ours led nowhere.
    pub(crate) fn dial_failed(&mut self, now: Now, dial: DialId, failure: DialFailure) {
        let Some(Dial { peer, command, address }) = self.dials.by_id.remove(&dial) else { return };
        match failure {
            DialFailure::Unreachable | DialFailure::WrongPeer => {
                // Who has come to us meanwhile can be reached well enough, and strangers are not remembered for being away.
                if self.peers.get(&peer).is_none() && self.reputation.ledger(&peer).is_some() {
                    self.charge(now, peer, "P7.1", Conduct::FailedToConnect, Cause::Neither);
                }
                self.dials.rest(&mut self.cx, peer, Pause::Grows);
            }
            DialFailure::Undialable => self.dials.rest(&mut self.cx, peer, Pause::Grows),
            DialFailure::Denied => {
                self.gater.not_dialed(address);
                self.dials.rest(&mut self.cx, peer, Pause::Stays);
            }
        }
        self.discovery.dialing.remove(&dial);
        // An address of a kind that we cannot dial says nothing against the peer, and the next turn is another address's.
        let is_ours = matches!(failure, DialFailure::Denied | DialFailure::Undialable);
        self.candidate_unreached(now, &peer, u32::from(!is_ours));
        self.outbound_freed(now);
        if let Some(command) = command {
            self.cx.finish(command, Outcome::NotConnected(failure));
        }
    }

    /// P8.5: a static peer's pause is over.
    pub(crate) fn redial_due(&mut self, now: Now, peer: PeerId) {
        if self.peers.get(&peer).is_some() || self.dials.is_dialing(&peer) {
            return; // its end sets the timer again
        }
        let Some(address) = self.dials.next_address(&peer) else { return };
        match self.may_dial(now, &address) {
            Ok(peer) => {
                self.dial(now, peer, None, address);
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "a static peer is not dialed now");
                self.dials.rest(&mut self.cx, peer, Pause::Grows);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::topics::ChainId;

    #[test]
    fn p8_5_pauses_grow_from_1_s_to_5_min_and_the_seed_spreads_them() {
        let address = "/ip4/192.0.2.1/tcp/1/p2p/16Uiu2HAm1Qd4aCe6ba3DYhTQfBMHQqDrwB6ZSkbAk8XDeKDEqTJp".to_owned();
        let config = Config { static_peers: vec![address], ..Config::new(ChainId(1)) };
        let pauses = |seed: u8| {
            let (mut dials, mut cx) = (Dials::new(&config).expect("an address"), Cx::new(config.clone(), [seed; 32], Now::default()));
            let peer = dials.statics().next().expect("one");
            let mut pause = || {
                dials.rest(&mut cx, peer, Pause::Grows);
                cx.timers.next().expect("it is dialed for ever").0.since(Time::ZERO).as_millis()
            };
            (0..12).map(|_| pause()).collect::<Vec<_>>()
        };
        let floors = [1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150, 150].map(|secs| secs * 1000);
        for (pause, floor) in pauses(1).into_iter().zip(floors) {
            assert!((floor..=2 * floor).contains(&pause), "{pause} ms where {floor} to {} are due", 2 * floor);
        }
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2), "or all nodes of a network would come back at once");
    }
}
