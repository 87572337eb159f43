//! What do we ask of others, and of whom (P6.5, P6.7, P6.8)?
//!
//! ```text
//! a part's Wanted --a peer can be asked--> sent ------------- response, failure, or its timer --> ended, once
//! our user's -------- its peer can be ---> sent                  |
//!            \------- its peer cannot ---> waiting --it can be---+
//! ```
//!
//! What waits goes first: whoever has something new to ask has what waits sent before. Each waits for its own peer only, so nobody stands in
//! another's way:
//!
//! | waiting for one peer | sort key |
//! |---|---|
//! | requests of our user's that the peer has room for now | id: the order in which they came |
//!
//! `wanted` is what parts say, `response` reads what comes back, `serve` answers others, and `room` says when. [`Requests`] knows nothing of what an answer means.
//! The tables of peers are lent to it ([`Askable`]): whom to ask is their own choice (`peer::choice`), and they count what is under way with
//! each.
//!
//! Invariants: a request is in `sent` or in `waiting`, never both, and has a timer as long as it is in either. The table of peers knows how
//! many of `sent` are with each, and which of `waiting` wait for it ([`Peers::wait_for`]). What is in neither table changes nothing (P6.5).

pub(crate) mod response;
pub(crate) mod room;
pub(crate) mod serve;
pub(crate) mod user_pages;
pub(crate) mod wanted;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::config::Config;
use crate::cost::{TIMER, entry};
use crate::cx::Cx;
use crate::error::CommandError;
use crate::id::{CommandId, PeerId, RequestId};
use crate::output::Action;
use crate::peer::reputation::Reputation;
use crate::peer::table::Peers;
use crate::request::wanted::{Purpose, Wanted, Whom};
use crate::time::{Time, Timer};
use crate::wire::topics::Protocol;

/// Most requests of our user's that wait. Source: P6.7 wants a bound; ours is generous for a person and small in memory.
const MAX_WAITING: usize = 256;
/// How often a request is looked at that can have no answer while we do not read. Ours.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A request in its table, with the peer's count of it, and its timer.
const REQUEST: usize = entry::<RequestId, Sent>() + size_of::<[u64; 8]>()
    + 11 * size_of::<RequestId>() + 2 * size_of::<usize>() // that it waits for its peer: a set of one takes as much as one of eleven
    + TIMER;

/// A request that is with a peer, or waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Sent {
    pub(crate) peer: PeerId,
    pub(crate) protocol: Protocol,
    pub(crate) purpose: Purpose,
    /// When it left, or came to wait.
    pub(crate) since: Time,
}

/// A request of our user's that waits for its peer (P6.7).
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Waiting {
    sent: Sent,
    body: Bytes,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) sent: Sent,
    /// It was with its peer, not still waiting.
    pub(crate) was_sent: bool,
}

/// Whom we can ask, as it is lent for one call.
pub(crate) struct Askable<'a> {
    pub(crate) peers: &'a mut Peers,
    pub(crate) reputation: &'a Reputation,
    /// How many answers are being checked: their peers' work is done, but they count until ours is.
    pub(crate) checking: usize,
}

/// The table of what we asked.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Requests {
    sent: BTreeMap<RequestId, Sent>,
    /// In the order in which they came, since ids ascend.
    waiting: BTreeMap<RequestId, Waiting>,
}

impl Requests {
    /// Sends what a part wants, if somebody can be asked now. Says who was, and in which request.
    pub(crate) fn send_wanted(&mut self, cx: &mut Cx, askable: Askable<'_>, wanted: Wanted) -> Option<(PeerId, RequestId)> {
        let Wanted { protocol, body, purpose, whom } = wanted;
        let peer = self.choose(cx, &askable, protocol, &whom)?;
        let request = cx.mint.requests.next(RequestId);
        self.send(cx, askable.peers, request, Sent { peer, protocol, purpose, since: cx.now.mono }, body);
        Some((peer, request))
    }

    /// P6.8, P6.9: the best of those whom a request may go to, if one of them can be asked now.
    pub(crate) fn choose(&self, cx: &mut Cx, askable: &Askable<'_>, protocol: Protocol, whom: &Whom) -> Option<PeerId> {
        if !self.has_room(&cx.config, askable.checking) {
            return None;
        }
        let Askable { peers, reputation, .. } = askable;
        let now = cx.now.mono;
        let is_able = |peer: &PeerId| peers.has_room(reputation, now, peer, protocol);
        match whom {
            Whom::Only(peer) => Some(*peer).filter(is_able),
            Whom::AnyoneBut { exclude, prefer } => {
                let preferred = prefer.filter(is_able);
                preferred.or_else(|| peers.choose(reputation, now, protocol, &mut cx.dice, |peer| !exclude.contains(peer)))
            }
            Whom::OneOf(these) => peers.choose_for_page(reputation, now, &mut cx.dice, |peer| these.binary_search(peer).is_ok()),
        }
    }

    /// A request of our user's: to the peer that it names, waiting for it if need be, or to the best one. Says whether it waits.
    ///
    /// # Errors
    /// It cannot be made, and nothing has changed, the dice included.
    pub(crate) fn ask_for_user(
        &mut self,
        cx: &mut Cx,
        mut askable: Askable<'_>,
        (peer, protocol): (Option<PeerId>, Protocol),
        body: Bytes,
        purpose: impl FnOnce(CommandId) -> Purpose,
    ) -> Result<(CommandId, bool), CommandError> {
        let is_named = peer.is_some();
        let mut peer = match peer {
            Some(peer) => {
                let connected = askable.peers.get(&peer).ok_or(CommandError::NotConnected)?;
                if !connected.protocols.supports(protocol) {
                    return Err(CommandError::Unsupported(protocol));
                }
                let in_flight = self.waiting.len();
                if in_flight >= MAX_WAITING && self.choose(cx, &askable, protocol, &Whom::Only(peer)).is_none() {
                    return Err(CommandError::TooManyRequests { in_flight, max: MAX_WAITING });
                }
                peer
            }
            // Where there is nobody to choose, no dice are thrown.
            None => self.choose(cx, &askable, protocol, &Whom::ANYONE).ok_or(CommandError::NoPeer(protocol))?,
        };
        // Time may have made room for those who wait, and the host not told us yet: they go first. Where one of them takes this one's room,
        // there is a slot among those who wait.
        self.send_waiting(cx, &mut askable);
        let mut waits = self.choose(cx, &askable, protocol, &Whom::Only(peer)).is_none();
        if waits
            && !is_named
            && let Some(other) = self.choose(cx, &askable, protocol, &Whom::ANYONE)
        {
            (peer, waits) = (other, false); // P6.8: nobody waits for one peer while another has room
        }
        let command = cx.mint.commands.next(CommandId);
        let sent = Sent { peer, protocol, purpose: purpose(command), since: cx.now.mono };
        let request = cx.mint.requests.next(RequestId);
        if waits {
            // Room comes within a window (P6.7); its time with the peer starts when it leaves.
            let patience = cx.config.request_limit.window + cx.config.request_timeout;
            cx.timers.set(Timer::Request(request), cx.now.mono.after(patience));
            self.waiting.insert(request, Waiting { sent, body });
            askable.peers.wait_for(&peer, protocol, request);
        } else {
            self.send(cx, askable.peers, request, sent, body);
        }
        Ok((command, waits))
    }

    /// Sends those of our user's requests that have room now: each that has its peer's, whoever came before it, for it is in nobody's way.
    pub(crate) fn send_waiting(&mut self, cx: &mut Cx, askable: &mut Askable<'_>) {
        while !self.waiting.is_empty() {
            let ready = askable.peers.ready(askable.reputation, cx.now.mono); // one pass for all peers that have room
            if ready.is_empty() {
                return;
            }
            for request in ready {
                if !self.has_room(&cx.config, askable.checking) {
                    return;
                }
                let Waiting { sent, body } = self.waiting.remove(&request).expect("what waits for a peer waits");
                askable.peers.wait_no_more(&sent.peer, sent.protocol, request);
                self.send(cx, askable.peers, request, sent, body);
            }
        }
    }

    fn send(&mut self, cx: &mut Cx, peers: &mut Peers, request: RequestId, sent: Sent, body: Bytes) {
        let Sent { peer, protocol, .. } = sent;
        cx.timers.set(Timer::Request(request), cx.now.mono.after(cx.config.request_timeout));
        peers.note_sent(cx.now.mono, peer, protocol);
        self.sent.insert(request, Sent { since: cx.now.mono, ..sent });
        cx.stats.requests_sent += 1;
        cx.act(Action::SendRequest { request, peer, protocol, body });
    }

    /// A request has ended. `None` for one that is not known, or ended before (P6.5).
    pub(crate) fn end(&mut self, cx: &mut Cx, peers: &mut Peers, request: RequestId) -> Option<Ended> {
        let ended = if let Some(sent) = self.sent.remove(&request) {
            peers.note_ended(cx.now.mono, sent.peer, sent.protocol);
            Ended { sent, was_sent: true }
        } else {
            let Waiting { sent, .. } = self.waiting.remove(&request)?;
            peers.wait_no_more(&sent.peer, sent.protocol, request);
            Ended { sent, was_sent: false }
        };
        cx.timers.cancel(Timer::Request(request));
        Some(ended)
    }

    /// Sets the timer for the next moment at which time alone lets somebody be asked: a peer that a request waits for, anybody on one of
    /// these protocols, or whoever is to be asked `at` a time.
    pub(crate) fn set_timer(&self, cx: &mut Cx, peers: &Peers, reputation: &Reputation, anybody_on: &[Protocol], at: Option<Time>) {
        let is_idle = anybody_on.is_empty() && self.waiting.is_empty();
        let next = if is_idle { None } else { peers.next_room(reputation, cx.now.mono, anybody_on) };
        match [next, at].into_iter().flatten().min() {
            Some(at) => cx.timers.set(Timer::RequestCapacity, at),
            None => cx.timers.cancel(Timer::RequestCapacity),
        }
    }

    /// P6.5: how much of its time a request has left, where we did not read for a part of what has passed. `None` when it has had it all.
    pub(crate) fn time_left(&self, cx: &Cx, request: RequestId) -> Option<Duration> {
        let (now, since) = (cx.now.mono, self.sent.get(&request)?.since);
        let listened = now.since(since).saturating_sub(cx.unread.since(since, now));
        let left = cx.config.request_timeout.checked_sub(listened).filter(|left| !left.is_zero())?;
        Some(if cx.unread.is_stopped() { left.max(LOOK_AGAIN) } else { left })
    }

    /// P6.5: did we not read for a part of its time, so that what seems its peer's failure may be ours?
    pub(crate) fn was_unread(&self, cx: &Cx, request: RequestId) -> bool {
        self.sent.get(&request).is_some_and(|sent| !cx.unread.since(sent.since, cx.now.mono).is_zero())
    }

    /// Whom a request is for, sent or waiting.
    pub(crate) fn peer_of(&self, request: RequestId) -> Option<PeerId> {
        self.sent.get(&request).or(self.waiting.get(&request).map(|waiting| &waiting.sent)).map(|sent| sent.peer)
    }

    /// All requests to a peer: those that it has, then those that wait.
    pub(crate) fn of(&self, peer: &PeerId) -> Vec<RequestId> {
        let sent = self.sent.iter().filter(|(_, sent)| sent.peer == *peer).map(|(request, _)| *request);
        let waiting = self.waiting.iter().filter(|(_, waiting)| waiting.sent.peer == *peer).map(|(request, _)| *request);
        sent.chain(waiting).collect()
    }

    /// Who is being asked for the commitment with this number, by a page of catch-up or to back a claim, and since when.
    pub(crate) fn asked_for(&self, number: u64) -> impl Iterator<Item = (PeerId, Time)> {
        self.sent.values().filter(move |sent| sent.purpose.brings(number)).map(|sent| (sent.peer, sent.since))
    }

    /// How many peers are being asked to back their claims.
    pub(crate) fn probes(&self) -> usize {
        self.sent.values().filter(|sent| matches!(sent.purpose, Purpose::Probe { .. })).count()
    }

    /// Requests with all peers.
    pub(crate) fn in_flight(&self) -> usize {
        self.sent.len()
    }

    /// Is there room for one more request, whomever it goes to?
    fn has_room(&self, config: &Config, checking: usize) -> bool {
        self.in_flight() + checking < config.max_requests
    }

    /// The most bytes that the table holds under a configuration.
    pub(crate) fn max_bytes(config: &Config) -> usize {
        (config.max_requests + MAX_WAITING) * REQUEST
    }

    /// The bytes that it holds, counted likewise.
    pub(crate) fn bytes(&self) -> usize {
        (self.sent.len() + self.waiting.len()) * REQUEST
    }
}
