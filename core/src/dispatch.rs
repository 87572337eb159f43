//! Which requests go out, and in which order (P6.7–P6.9)?
//!
//! Whatever may let somebody be asked, or makes a part want something, calls [`Core::dispatch_soon`]; before the step ends, one loop serves
//! all who want something:
//!
//! | class | sort key within it |
//! |---|---|
//! | what our user asked of a peer that had no room for it then | the order in which it came |
//! | what there is of a window in which we want to publish (P5.9b) | |
//! | what backs a claim that no page near our head reaches (P11.1) | see `sync::probes` |
//! | pages of a catch-up | first block: the next above our head before all others |
//! | what backs another claim, where its peer is not asked for it with a page | see `sync::probes` |
//! | missing txlists | block, then hash: the order in which blocks become ready |
//!
//! Heads, and parents of held children, are asked for when they are due (P6.9, P5.2); what was marked before then goes before them.
//!
//! Parts say what they want; [`Requests`] has a peer chosen and sends. Here each is told what came of it.

use alloy_primitives::B256;
use bytes::Bytes;

use crate::cx::Cx;
use crate::error::CommandError;
use crate::id::{CommandId, PeerId, RequestId};
use crate::machine::Core;
use crate::peer::score::Standing;
use crate::request::wanted::{Purpose, Wanted, Whom};
use crate::request::{Askable, Requests};
use crate::sync::heads::PeerCount;
use crate::sync::pages::View;
use crate::sync::probes::PROBE_PATIENCE;
use crate::sync::{CatchUp, MAX_PAGE_ITEMS_JUDGED};
use crate::time::Time;
use crate::wire::topics::Protocol;

impl Core {
    /// Somebody may be asked now, or something is wanted: before the step ends, what is wanted is looked at, once for all that happened in it.
    pub(crate) fn dispatch_soon(&mut self) {
        self.dispatch_due = true;
    }

    /// Does so at once. Called before somebody new is asked within a step, too, so that nobody overtakes what waits.
    pub(crate) fn dispatch_if_due(&mut self) {
        while std::mem::take(&mut self.dispatch_due) {
            self.dispatch();
        }
    }

    /// Serves all that is wanted, as far as somebody can be asked.
    fn dispatch(&mut self) {
        let (requests, cx, mut askable) = self.asking();
        requests.send_waiting(cx, &mut askable);
        self.ask_of_own_window();
        let near = self.chain.head_number().saturating_add(u64::from(self.cx.config.page_near));
        self.ask_for_probes(near); // pages would take all that their peers have room for
        self.ask_for_pages();
        let probe_at = self.ask_for_probes(0);
        self.judge_pages(); // one that waited for another which is not needed any more
        self.ask_for_txlists();
        let (probe_waits, probe_at) = (probe_at.is_some_and(|at| at <= self.cx.now.mono), probe_at.filter(|at| *at > self.cx.now.mono));
        let waits_for_anybody = |protocol: &Protocol| match protocol {
            Protocol::GetHead => false,
            Protocol::GetCommitments => self.catch_up.waits_for_peer() || probe_waits,
            Protocol::GetTxList => self.txlists.waits_for_peer(),
        };
        let anybody_on: Vec<Protocol> = Protocol::ALL.into_iter().filter(waits_for_anybody).collect();
        self.requests.set_timer(&mut self.cx, &self.peers, &self.reputation, &anybody_on, probe_at);
    }

    fn ask_of_own_window(&mut self) {
        while let Some(wanted) = self.inquiry.next_wanted() {
            match self.send_wanted(wanted) {
                Some((peer, _)) => self.inquiry.asked(peer),
                None => return, // whoever comes or has room in time is asked then
            }
        }
    }

    fn ask_for_pages(&mut self) {
        let mut above = 0;
        while let Some(wanted) = self.page_wanted(|catch_up, cx, view| catch_up.next_wanted(cx, view, above)) {
            let Some(start) = self.ask_for_page(wanted) else { return };
            above = start;
        }
        if let Some(wanted) = self.page_wanted(|catch_up, cx, view| catch_up.second_wanted(cx, view)) {
            self.ask_for_page(wanted);
        }
    }

    /// Which page is wanted, as a catch-up sees it that looks at who could bring it.
    fn page_wanted(&mut self, look: impl FnOnce(&mut CatchUp, &mut Cx, &View<'_>) -> Option<Wanted>) -> Option<Wanted> {
        let (peers, gater) = (&self.peers, &self.gater);
        let serves_pages = |peer: &PeerId| peers.get(peer).is_some_and(|peer| peer.protocols.supports(Protocol::GetCommitments));
        let neighbourhood = |peer: &PeerId| peers.address_of(peer).map(|address| gater.neighbourhood_or_address(address));
        let view = View {
            head: self.chain.head_number(),
            has_room: self.chain.verifying_in_responses() < MAX_PAGE_ITEMS_JUDGED,
            serves_pages: &serves_pages,
            neighbourhood: &neighbourhood,
            line: peers.best_brought(),
        };
        look(&mut self.catch_up, &mut self.cx, &view)
    }

    /// Asks for a page, if somebody can be asked now. Says where it starts.
    fn ask_for_page(&mut self, wanted: Wanted) -> Option<u64> {
        let Purpose::Page { start, .. } = wanted.purpose else { return None };
        if let Some((peer, request)) = self.send_wanted(wanted) {
            self.catch_up.page_asked(&self.cx, start, request, peer);
        }
        Some(start)
    }

    /// P11.1: what peers claim above this, and above all that is backed, is probed. Says when to look at it again: now, where somebody has no
    /// room.
    fn ask_for_probes(&mut self, above: u64) -> Option<Time> {
        let (now, mut again) = (self.cx.now.mono, None);
        for probe in self.catch_up.probes_wanted(above.max(self.best(self.cx.now)), self.requests.probes()) {
            let (&Whom::Only(peer), Purpose::Probe { number }) = (&probe.whom, probe.purpose) else { continue };
            // Whoever was asked for the same just now may bring it: where its peer was, it is its own word that it keeps or does not.
            let may_come_until = |(asked, since): (PeerId, Time)| (asked != peer).then_some(since.after(PROBE_PATIENCE));
            let others: Vec<_> = self.requests.asked_for(number).map(may_come_until).collect();
            let next = match others.iter().flatten().max() {
                _ if others.contains(&None) => continue,
                Some(at) if *at > now => *at,
                _ => match self.send_wanted(probe) {
                    Some((peer, _)) => {
                        self.catch_up.probing(&peer);
                        continue;
                    }
                    None => now,
                },
            };
            again = Some(again.map_or(next, |at: Time| at.min(next)));
        }
        again
    }

    fn ask_for_txlists(&mut self) {
        while let Some(wanted) = self.txlists.next_wanted(&mut self.cx) {
            let Purpose::TxList { hash, .. } = wanted.purpose else { return };
            let protocol = wanted.protocol;
            match self.send_wanted(wanted) {
                Some((peer, _)) => self.txlists.asked(&mut self.cx, &hash, peer),
                None if self.can_ask_anyone(protocol) => self.txlists.nobody_is_left(&mut self.cx, &hash),
                None => return, // nobody has room: the timer of the next free slot comes by here again
            }
        }
    }

    /// P6.9: time to ask for heads again.
    pub(crate) fn heads_due(&mut self) {
        self.dispatch_if_due();
        let count = self.count_peers();
        self.catch_up.heads_due(&mut self.cx, count);
        while let Some(wanted) = self.catch_up.next_head() {
            match self.send_wanted(wanted) {
                Some((peer, _)) => self.catch_up.head_asked(&self.cx, peer),
                None => self.catch_up.no_more_heads(),
            }
        }
        self.plan_catch_up();
    }

    /// P5.2: children have waited for their parents for long enough.
    pub(crate) fn parents_due(&mut self) {
        self.dispatch_if_due();
        let (reputation, now) = (&self.reputation, self.cx.now.mono);
        let is_pruned = |peer: &PeerId| reputation.standing(now, peer) >= Standing::Pruned;
        let wanted = self.catch_up.parents_due(self.chain.head_number(), self.chain.floor(), is_pruned);
        for parent in wanted {
            self.send_wanted(parent); // who cannot be asked now is not waited for: the next child asks again
        }
        self.plan_catch_up();
    }

    /// P6.9: a new peer said what it supports. Nobody is waited for: all are asked again from time to time.
    pub(crate) fn ask_new_peer_for_head(&mut self, peer: PeerId) {
        let count = self.count_peers();
        if let Some(wanted) = self.catch_up.peer_identified(&mut self.cx, peer, count) {
            self.send_wanted(wanted);
        }
    }

    /// Claims, or what a catch-up waits for, have changed.
    pub(crate) fn plan_catch_up(&mut self) {
        if self.catch_up.plan(&mut self.cx, self.chain.head_number()) {
            self.dispatch_soon();
        }
    }

    /// A txlist has been missing for long enough, or the pause behind the last try is over (P5.6).
    pub(crate) fn fetch_due(&mut self, hash: &B256) {
        if self.txlists.fetch_due(hash) {
            self.dispatch_soon();
        }
    }

    /// A request of our user's: to the peer that it names, waiting for it if need be, or to the best one.
    pub(crate) fn ask_for_user(
        &mut self,
        peer: Option<PeerId>,
        protocol: Protocol,
        body: Bytes,
        purpose: impl FnOnce(CommandId) -> Purpose,
    ) -> Result<CommandId, CommandError> {
        let (requests, cx, askable) = self.asking();
        let (command, waits) = requests.ask_for_user(cx, askable, (peer, protocol), body, purpose)?;
        if waits {
            self.dispatch_soon();
        }
        Ok(command)
    }

    fn send_wanted(&mut self, wanted: Wanted) -> Option<(PeerId, RequestId)> {
        let (requests, cx, askable) = self.asking();
        requests.send_wanted(cx, askable, wanted)
    }

    fn can_ask_anyone(&mut self, protocol: Protocol) -> bool {
        let (requests, cx, askable) = self.asking();
        requests.choose(cx, &askable, protocol, &Whom::ANYONE).is_some()
    }

    /// The requests, and what is lent to them.
    fn asking(&mut self) -> (&mut Requests, &mut Cx, Askable<'_>) {
        let checking = self.txlists.hashing_responses();
        (&mut self.requests, &mut self.cx, Askable { peers: &mut self.peers, reputation: &self.reputation, checking })
    }

    fn count_peers(&self) -> PeerCount {
        PeerCount { connected: self.peers.len(), serving_heads: self.peers.supporting(Protocol::GetHead) }
    }
}
