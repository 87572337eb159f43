//! How does a request leave, and to whom (P6.7, P6.8)?

use alloy_primitives::B256;
use bytes::Bytes;

use crate::error::CommandError;
use crate::id::{CommandId, PeerId, RequestId};
use crate::input::RequestFailure;
use crate::machine::Core;
use crate::output::Action;
use crate::request::wanted::Wanted;
use crate::request::{Purpose, Sent, Waiting};
use crate::time::{Now, Time, Timer};
use crate::wire::topics::Protocol;

/// Most requests of our user's that wait for room. Source: P6.7 wants a bound; ours is generous for a person and small in memory.
pub(crate) const MAX_WAITING: usize = 256;

impl Core {
    /// P6.8: the best peer that supports the protocol, has room, and `fits`.
    pub(crate) fn choose(&mut self, now: Time, protocol: Protocol, fits: impl Fn(&PeerId) -> bool) -> Option<PeerId> {
        if self.has_room() { self.peers.choose(&self.reputation, now, protocol, &mut self.cx.dice, fits) } else { None }
    }

    /// P6.9: the same choice for a page that starts here, among those whose claims reach so far.
    pub(crate) fn choose_for_page(&mut self, now: Time, start: u64) -> Option<PeerId> {
        let (run, claims) = (self.sync.run.as_ref().filter(|_| self.has_room())?, &self.sync.claims);
        let fits = |peer: &PeerId| claims.is_followed_to(peer, start) && !run.is_barred(start, peer);
        self.peers.choose_for_page(&self.reputation, now, &mut self.cx.dice, fits)
    }

    /// Is there room for one more request, whomever it goes to?
    fn has_room(&self) -> bool {
        self.requests.in_flight() + self.txlists.hashing_responses() < self.cx.config.max_requests
    }

    /// Is the peer connected, not pruned, does it speak the protocol, and is there room (P6.7)?
    pub(crate) fn can_ask(&self, now: Time, peer: PeerId, protocol: Protocol) -> bool {
        self.has_room() && self.peers.has_room(&self.reputation, now, &peer, protocol)
    }

    /// Sends a request. The caller has asked [`Core::can_ask`].
    pub(crate) fn ask(&mut self, now: Time, peer: PeerId, protocol: Protocol, body: Bytes, purpose: Purpose) -> RequestId {
        let request = self.cx.mint.requests.next(RequestId);
        self.send(now, request, Sent { peer, protocol, purpose }, body);
        request
    }

    /// A request of our user's: to the peer that it names, waiting for room if need be, or to the best one.
    pub(crate) fn ask_for_user(
        &mut self,
        now: Now,
        peer: Option<PeerId>,
        protocol: Protocol,
        body: Bytes,
        purpose: impl FnOnce(CommandId) -> Purpose,
    ) -> Result<CommandId, CommandError> {
        // What refuses comes first: nothing has changed by then, the dice included.
        let peer = match peer {
            Some(peer) => {
                let connected = self.peers.get(&peer).ok_or(CommandError::NotConnected)?;
                if !connected.spoken.supports(protocol) {
                    return Err(CommandError::Unsupported(protocol));
                }
                let in_flight = self.requests.waiting.len();
                if in_flight >= MAX_WAITING && !self.can_ask(now.mono, peer, protocol) {
                    return Err(CommandError::TooManyRequests { in_flight, max: MAX_WAITING });
                }
                peer
            }
            // Where there is nobody to choose, no dice are thrown.
            None => self.choose(now.mono, protocol, |_| true).ok_or(CommandError::NoPeer(protocol))?,
        };
        // Time may have made room for those who wait, and the host not told us yet: they go first. Where one of them takes this one's room,
        // there is a place among those who wait.
        self.send_waiting_requests(now);
        let has_room = self.can_ask(now.mono, peer, protocol);
        let command = self.cx.mint.commands.next(CommandId);
        let purpose = purpose(command);
        if has_room {
            self.ask(now.mono, peer, protocol, body, purpose);
        } else {
            let request = self.cx.mint.requests.next(RequestId);
            // Room comes within a window (P6.7); its time with the peer starts when it leaves.
            let patience = self.cx.config.request_limit.window + self.cx.config.request_timeout;
            self.cx.timers.set(Timer::Request(request), now.mono.after(patience));
            self.requests.waiting.insert(request, Waiting { sent: Sent { peer, protocol, purpose }, body });
            self.peers.wait_for(&peer, protocol, request);
            self.pump_soon();
        }
        Ok(command)
    }

    fn send(&mut self, now: Time, request: RequestId, sent: Sent, body: Bytes) {
        let Sent { peer, protocol, .. } = sent;
        self.cx.timers.set(Timer::Request(request), now.after(self.cx.config.request_timeout));
        self.peers.note_sent(now, peer, protocol);
        self.requests.enter(request, sent);
        self.cx.stats.requests_sent += 1;
        self.cx.act(Action::SendRequest { request, peer, protocol, body });
    }

    /// Lets go what waits and has room now, our user's requests first. The end of a step calls it, where [`Core::pump_soon`] was.
    pub(crate) fn pump(&mut self, now: Now) {
        self.send_waiting_requests(now);
        self.pump_pages(now);
        self.ask_for_txlists(now);
        self.wake_for_room(now);
    }

    /// Asks peers for txlists that are due, as far as there is room.
    fn ask_for_txlists(&mut self, now: Now) {
        while let Some(Wanted { protocol, body, purpose, prefer, exclude }) = self.txlists.next_wanted(&mut self.cx) {
            let Purpose::TxList { hash, .. } = purpose else { return };
            let prefer = prefer.filter(|peer| self.can_ask(now.mono, *peer, protocol));
            match prefer.or_else(|| self.choose(now.mono, protocol, |peer| !exclude.contains(peer))) {
                Some(peer) => {
                    self.ask(now.mono, peer, protocol, body, purpose);
                    self.txlists.asked(&mut self.cx, &hash, peer);
                }
                None if self.choose(now.mono, protocol, |_| true).is_some() => self.txlists.nobody_is_left(&mut self.cx, &hash),
                None => return, // nobody has room: the timer of the next free slot comes by here again
            }
        }
    }

    /// A txlist has been missing for long enough, or the pause behind the last try is over (P5.6).
    pub(crate) fn fetch_due(&mut self, hash: &B256) {
        if self.txlists.fetch_due(hash) {
            self.pump_soon();
        }
    }

    /// A peer that was asked for a txlist does not have it, or did not answer.
    pub(crate) fn fetch_failed(&mut self, hash: &B256) {
        if self.txlists.fetch_failed(hash) {
            self.pump_soon();
        }
    }

    /// Sends those of our user's requests that have room now: each that has its peer's, whoever came before it, for it is in nobody's way.
    fn send_waiting_requests(&mut self, now: Now) {
        while !self.requests.waiting.is_empty() {
            let ready = self.peers.ready(&self.reputation, now.mono); // one pass for all peers that have room
            if ready.is_empty() {
                return;
            }
            for request in ready {
                if !self.has_room() {
                    return;
                }
                let Waiting { sent, body } = self.requests.waiting.remove(&request).expect("what waits for a peer waits");
                self.peers.wait_no_more(&sent.peer, sent.protocol, request);
                self.send(now.mono, request, sent, body);
            }
        }
    }

    /// Sets the timer for the next moment at which somebody who waits may find room, if time alone can bring it.
    fn wake_for_room(&mut self, now: Now) {
        let waits_for_anybody = |protocol: &Protocol| match protocol {
            Protocol::GetHead => false,
            Protocol::GetCommitments => self.sync.waits_for_room(),
            Protocol::GetTxList => self.txlists.waits_for_peer(),
        };
        let anybody_for: Vec<Protocol> = Protocol::ALL.into_iter().filter(waits_for_anybody).collect();
        let is_idle = anybody_for.is_empty() && self.requests.waiting.is_empty();
        let next = if is_idle { None } else { self.peers.next_room(&self.reputation, now.mono, &anybody_for) };
        match next {
            Some(at) => self.cx.timers.set(Timer::Room, at),
            None => self.cx.timers.cancel(Timer::Room),
        }
    }

    /// P6.5: a request has had its time.
    pub(crate) fn request_timed_out(&mut self, now: Now, request: RequestId) {
        self.request_failed(now, request, RequestFailure::Timeout);
    }

    /// A peer is gone: what we asked of it ends now.
    pub(crate) fn requests_end_with(&mut self, now: Now, peer: PeerId, was_sent_off: bool) {
        for request in self.requests.of(&peer) {
            self.request_ended(now, request, RequestFailure::Closed, was_sent_off);
        }
    }
}
