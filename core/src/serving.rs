//! What follows from a request of another's (P6.1–P6.6)?
//!
//! | a request | follows |
//! |---|---|
//! | of a pruned peer, or over its limit | no answer; more than four windows' worth of those in 60 s is a fault |
//! | that is none | no answer, and a failure |
//! | for which there is room | its answer |
//! | for which there is none | it waits, 5 s at most, and ends then: with our head, an empty page, or *not found* |
//!
//! None gains its peer anything (P7.8).

use bytes::Bytes;

use crate::error::Refusal;
use crate::id::{ChannelId, PeerId};
use crate::machine::Core;
use crate::output::Action;
use crate::peer::conduct::Conduct;
use crate::peer::ledger::Cause;
use crate::peer::score::Standing;
use crate::request::room::{Asked, Asker};
use crate::request::serve::{answer, answer_len, nothing, well_formed};
use crate::time::Timer;
use crate::verdict::Verdict;
use crate::wire::topics::Protocol;

impl Core {
    /// A peer asks something of us.
    pub(crate) fn serve(&mut self, peer: PeerId, channel: ChannelId, protocol: Protocol, body: &Bytes) {
        let since = self.cx.now.mono;
        let admitted = if self.reputation.standing(since, &peer) >= Standing::Pruned {
            Err(Refusal::Pruned) // P7.4
        } else if !self.peers.admit_request(since, peer, protocol) {
            Err(Refusal::RateLimited)
        } else {
            well_formed(protocol, body)
        };
        if let Err(refusal) = admitted {
            return self.drop_request(peer, channel, protocol, refusal);
        }
        let neighbourhood = self.peers.address_of(&peer).and_then(|address| self.gater.neighbourhood(address));
        let asker = Asker { peer, neighbourhood, is_trusted: self.reputation.is_trusted(&peer) };
        if let Some(crowded) = self.room.wait(Asked { asker, channel, protocol, body: body.clone(), since }) {
            self.answer_nothing(&crowded);
        }
        self.serve_waiting();
    }

    /// The answer to a peer's request is written, or its channel is gone.
    pub(crate) fn channel_closed(&mut self, channel: ChannelId) {
        if self.room.end(channel) {
            self.serve_waiting();
        }
    }

    /// P6.6: answers those that wait, as far as there is room, and ends those that have waited for long enough.
    pub(crate) fn serve_waiting(&mut self) {
        let now = self.cx.now.mono;
        for overdue in self.room.overdue(now) {
            self.answer_nothing(&overdue);
        }
        let again = loop {
            let (peers, txlists, config) = (&self.peers, &self.txlists, &self.cx.config);
            let len = |asked: &Asked| answer_len(asked.protocol, &asked.body, txlists, config);
            match self.room.next(now, len, |peer, len| peers.response_room_at(now, peer, len)) {
                Ok(asked) => self.answer(&asked),
                Err(again) => break again,
            }
        };
        match again {
            Some(at) => self.cx.timers.set(Timer::Serve, at),
            None => self.cx.timers.cancel(Timer::Serve),
        }
    }

    fn answer(&mut self, asked: &Asked) {
        let now = self.cx.now.mono;
        let answered = answer(asked.protocol, &asked.body, &self.chain, &self.txlists, &self.cx.config);
        let Ok((response, len)) = answered else { return self.answer_nothing(asked) };
        self.peers.spend_response(now, asked.asker.peer, len);
        self.room.answers(now, asked, len);
        self.cx.stats.requests_served += 1;
        self.cx.act(Action::Respond { channel: asked.channel, response });
    }

    /// No room came in time. P7.10: that is nobody's fault; who asks too often meets its limit.
    fn answer_nothing(&mut self, asked: &Asked) {
        self.cx.stats.requests_served += 1;
        self.note_refusal(asked.asker.peer, None, Refusal::Crowded);
        let response = nothing(asked.protocol, &asked.body, &self.chain);
        self.cx.act(Action::Respond { channel: asked.channel, response });
    }

    fn drop_request(&mut self, peer: PeerId, channel: ChannelId, protocol: Protocol, refusal: Refusal) {
        self.cx.stats.requests_refused += 1;
        self.cx.act(Action::DropRequest { channel });
        let is_flood = refusal == Refusal::RateLimited && self.peers.is_flood(self.cx.now.mono, peer, protocol);
        self.blame_request(peer, refusal, is_flood);
    }

    /// A peer sent a request that is no frame (P3.4).
    pub(crate) fn broken_request(&mut self, peer: PeerId) {
        self.blame_request(peer, Refusal::BadFrame, false);
    }

    fn blame_request(&mut self, peer: PeerId, refusal: Refusal, is_flood: bool) {
        self.note_refusal(peer, None, refusal);
        let conduct = match refusal.verdict() {
            _ if is_flood => Conduct::RateLimited, // P6.6
            Verdict::Reject => Conduct::BadMessage,
            Verdict::Accept | Verdict::Ignore => return,
        };
        self.charge(self.cx.now, peer, refusal.rule(), conduct, Cause::Neither);
    }
}
