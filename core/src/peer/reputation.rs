//! How do we deal with a peer, by what it has done (P7)?
//!
//! One [`Ledger`] for each remembered peer. Whatever changes a score goes through here, and so do the three who must hear of it: the timer
//! that finds a ban (P7.4), gossipsub (P7.5), and the record that outlives the process (P7.7). The rest of the machine hears of a
//! [`StandingChange`] as a value, and draws its own conclusions.
//!
//! | what happens | gossipsub hears | our user hears | a record leaves |
//! |---|---|---|---|
//! | a charge that changes the score | the score | if the standing changed | if the standing changed |
//! | a decay of a connected peer's score | the score | no: time alone did it | no |
//! | a ban falls or ends, the operator pardons | block, unblock, the score | yes | yes |
//! | a peer connects | its score, if it is not zero: gossipsub may have forgotten it | no | no |
//! | a peer goes | no | no | if its score is not zero |
//!
//! Invariant: while a connected peer's score is not zero, the timer of decays is set.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::cx::Cx;
use crate::id::PeerId;
use crate::output::{Action, Event};
use crate::peer::conduct::{Conduct, ScoreRules};
use crate::peer::ledger::{Cause, Ledger};
use crate::peer::remembered::Remembered;
use crate::peer::score::{CLAMP, Standing, TICK_MICROS, decayed, next_tick};
use crate::record::Record;
use crate::time::{Time, Timer, UnixTime};

/// What is known of a peer's conduct.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Account {
    ledger: Ledger,
    /// The score that gossipsub was told last.
    told: i64,
    /// The standing that the rest of the machine knows of.
    noted: Standing,
}

/// We deal with a peer in another way from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StandingChange {
    pub(crate) peer: PeerId,
    pub(crate) standing: Standing,
}

/// The reputation of all remembered peers.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Reputation {
    rules: Arc<ScoreRules>,
    trusted: BTreeSet<PeerId>,
    accounts: Remembered<Account>,
}

impl Account {
    fn new(rules: Arc<ScoreRules>, now: Time, is_trusted: bool) -> Self {
        let mut ledger = Ledger::new(rules);
        if is_trusted {
            ledger.set_trusted(now, true);
        }
        Self { ledger, told: 0, noted: Standing::Healthy }
    }

    /// How we deal with the peer (P7.4).
    pub(crate) fn standing(&self, now: Time) -> Standing {
        self.ledger.standing(now)
    }

    /// Its score, in millionths of a point.
    pub(crate) fn score(&self, now: Time) -> i64 {
        self.ledger.score(now)
    }

    /// P7.5: gossipsub hears of a score that it does not know yet. Says whether it was news.
    fn tell(&mut self, cx: &mut Cx, peer: PeerId, score: i64) -> bool {
        let is_news = std::mem::replace(&mut self.told, score) != score;
        if is_news {
            cx.act(Action::SetScore { peer, score });
        }
        is_news
    }

    fn note(&mut self, now: Time, peer: PeerId) -> Option<StandingChange> {
        let standing = self.standing(now);
        (std::mem::replace(&mut self.noted, standing) != standing).then_some(StandingChange { peer, standing })
    }
}

impl Reputation {
    pub(crate) fn new(config: &Config) -> Self {
        let trusted = config.trusted.iter().copied().collect();
        Self { rules: Arc::new(config.score), trusted, accounts: Remembered::default() }
    }

    /// Charges a peer under a rule (P7.9).
    pub(crate) fn charge(
        &mut self,
        cx: &mut Cx,
        peer: PeerId,
        rule: &'static str,
        conduct: Conduct,
        cause: Cause,
    ) -> Option<StandingChange> {
        let now = cx.now.mono;
        let account = self.account(now, peer);
        let before = account.standing(now);
        let change = account.ledger.charge_under(now, rule, conduct, cause);
        if change.delta == 0 {
            return None;
        }
        let after = account.standing(now);
        match account.ledger.ban_due() {
            Some(at) => cx.timers.set(Timer::Ban(peer), at),
            None if after != Standing::Banned => cx.timers.cancel(Timer::Ban(peer)),
            None => {}
        }
        tracing::debug!(%peer, rule, ?conduct, delta = change.delta, score = change.score, "score changed");
        account.tell(cx, peer, change.score);
        let noted = account.note(now, peer);
        cx.timers.set_if_idle(Timer::Decay, next_tick(now));
        self.announce(cx, peer, before, rule);
        noted
    }

    /// P7.3, P7.5: scores have decayed. Brings the ledgers up to now, so that a pass over scores never has many decays to work out.
    pub(crate) fn decay(&mut self, cx: &mut Cx) -> Vec<StandingChange> {
        let now = cx.now.mono;
        let (mut any_left, mut changes) = (false, Vec::new());
        for (peer, account) in self.accounts.connected_mut().filter(|(_, account)| account.told != 0) {
            let score = account.ledger.settled(now);
            any_left |= score != 0;
            account.tell(cx, *peer, score);
            changes.extend(account.note(now, *peer));
        }
        if any_left {
            cx.timers.set(Timer::Decay, next_tick(now));
        }
        changes
    }

    /// P7.4: low for long enough, or a ban has run out. A peer that the operator blocks stays out.
    pub(crate) fn check_ban(&mut self, cx: &mut Cx, peer: PeerId, is_blocked: bool) -> Option<StandingChange> {
        let now = cx.now.mono;
        let Some(account) = self.accounts.get(&peer) else {
            // Forgotten meanwhile; the network must not remember longer than we do.
            self.let_back_in(cx, peer, is_blocked);
            return None;
        };
        let (standing, ends) = (account.standing(now), account.ledger.ban_ends(now));
        self.accounts.set_banned(&peer, ends.is_some());
        if let Some(ends) = ends {
            cx.timers.set(Timer::Ban(peer), ends);
            cx.act(Action::Block { peer });
        } else {
            self.let_back_in(cx, peer, is_blocked);
            self.tell_again(cx, peer);
        }
        cx.tell(Event::StandingChanged { peer, standing, rule: "P7.4" });
        self.persist(cx, peer);
        self.note(now, peer)
    }

    /// A peer has its first connection. Nothing was concluded from its standing before.
    pub(crate) fn connect(&mut self, cx: &mut Cx, peer: PeerId) {
        let now = cx.now.mono;
        let (rules, is_trusted) = (&self.rules, self.trusted.contains(&peer));
        self.accounts.connect(now, peer, || Account::new(rules.clone(), now, is_trusted));
        self.tell_again(cx, peer);
        self.note(now, peer);
    }

    /// A peer has no connection any more.
    pub(crate) fn disconnect(&mut self, now: Time, peer: PeerId) {
        self.accounts.disconnect(now, peer);
    }

    /// P7.6: trusts a peer, which is given back what it had lost.
    pub(crate) fn trust(&mut self, cx: &mut Cx, peer: PeerId, is_blocked: bool) -> Option<StandingChange> {
        let before = self.standing(cx.now.mono, &peer);
        self.trusted.insert(peer);
        self.set_trusted(cx.now.mono, &peer, true);
        self.pardon(cx, peer, before, "P7.6", is_blocked)
    }

    /// Trusts a peer no longer.
    pub(crate) fn distrust(&mut self, now: Time, peer: &PeerId) {
        self.trusted.remove(peer);
        self.set_trusted(now, peer, false);
    }

    /// Ends a ban before its time. The caller has seen that there is one.
    pub(crate) fn lift_ban(&mut self, cx: &mut Cx, peer: PeerId, is_blocked: bool) -> Option<StandingChange> {
        let before = self.standing(cx.now.mono, &peer);
        self.account(cx.now.mono, peer).ledger.lift_ban(cx.now.mono);
        self.pardon(cx, peer, before, "P7.4", is_blocked)
    }

    /// Takes a peer back, unless something still stands against it.
    pub(crate) fn let_back_in(&self, cx: &mut Cx, peer: PeerId, is_blocked: bool) {
        if !is_blocked && self.standing(cx.now.mono, &peer) != Standing::Banned {
            cx.act(Action::Unblock { peer });
        }
    }

    /// P7.7: has a peer's score and ban stored. By the wall clock, because the node's own starts anew.
    fn persist(&self, cx: &mut Cx, peer: PeerId) {
        let Some(Account { ledger, .. }) = self.accounts.get(&peer) else { return };
        let now = cx.now;
        let wall = |at: Time| UnixTime(now.unix.0.saturating_add(at.0.saturating_sub(now.mono.0)));
        let (score, ban_ends) = (ledger.score(now.mono), ledger.ban_ends(now.mono).map(wall));
        cx.persist(Record::Peer { peer, score, as_of: now.unix, ban_ends });
    }

    /// P7.7: neither a ban nor a bad name is lost by a restart. Called when a peer has gone.
    pub(crate) fn persist_if_scored(&self, cx: &mut Cx, peer: PeerId) {
        if self.score(cx.now.mono, &peer) != 0 {
            self.persist(cx, peer);
        }
    }

    /// Takes back how a peer stood in an earlier life of this node.
    pub(crate) fn restore(&mut self, cx: &mut Cx, peer: PeerId, score: i64, as_of: UnixTime, ban_ends: Option<UnixTime>) {
        let now = cx.now;
        let left = |end: UnixTime| Duration::from_micros(end.0.saturating_sub(now.unix.0));
        // A clock that was set back must not make a ban longer than any ban is.
        let ban_ends = ban_ends.map(|end| left(end).min(self.rules.ban_for));
        if ban_ends.is_some_and(|left| left.is_zero()) {
            return; // P7.4: a ban ends with score 0
        }
        // P7.1: whatever stands on the disk.
        let score = decayed(score.clamp(-CLAMP, CLAMP), now.unix.0.saturating_sub(as_of.0) / TICK_MICROS);
        let ban_ends = ban_ends.map(|left| now.mono.after(left));
        // P7.7: whoever is connected already, and did nothing yet, is as it was remembered.
        let has_history = |account: &Account| !account.ledger.explain(now.mono).is_empty();
        let is_known = self.accounts.get(&peer).is_some_and(has_history) || self.trusted.contains(&peer);
        if is_known || score == 0 && ban_ends.is_none() {
            return;
        }
        let rules = self.rules.clone();
        self.account(now.mono, peer).ledger = Ledger::restored(rules, now.mono, score, ban_ends);
        if let Some(ends) = ban_ends {
            self.accounts.set_banned(&peer, true);
            cx.timers.set(Timer::Ban(peer), ends);
            cx.act(Action::Block { peer });
        } else if let Some(due) = self.ledger(&peer).and_then(Ledger::ban_due) {
            cx.timers.set(Timer::Ban(peer), due);
        }
        self.note(now.mono, peer);
    }

    /// How we deal with a peer (P7.4).
    pub(crate) fn standing(&self, now: Time, peer: &PeerId) -> Standing {
        self.accounts.get(peer).map_or(Standing::Healthy, |account| account.standing(now))
    }

    /// A peer's score, in millionths of a point.
    pub(crate) fn score(&self, now: Time, peer: &PeerId) -> i64 {
        self.accounts.get(peer).map_or(0, |account| account.score(now))
    }

    pub(crate) fn ledger(&self, peer: &PeerId) -> Option<&Ledger> {
        self.account_of(peer).map(|account| &account.ledger)
    }

    pub(crate) fn account_of(&self, peer: &PeerId) -> Option<&Account> {
        self.accounts.get(peer)
    }

    /// The connected peers, in the order of their ids.
    pub(crate) fn connected(&self) -> impl Iterator<Item = (&PeerId, &Account)> {
        self.accounts.connected()
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Is the peer trusted (P7.6)?
    pub(crate) fn is_trusted(&self, peer: &PeerId) -> bool {
        self.trusted.contains(peer)
    }

    /// All trusted peers.
    pub(crate) fn trusted(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.trusted.iter().copied()
    }

    /// All banned peers that are not connected and when their bans end, the one that was seen longest ago first.
    pub(crate) fn banned(&self, now: Time) -> impl Iterator<Item = (PeerId, Time)> + '_ {
        self.accounts.banned().filter_map(move |peer| Some((peer, self.ledger(&peer)?.ban_ends(now)?)))
    }

    /// What is known of a peer; from now on that nothing is, if it is a stranger.
    fn account(&mut self, now: Time, peer: PeerId) -> &mut Account {
        let (rules, is_trusted) = (&self.rules, self.trusted.contains(&peer));
        self.accounts.get_or_insert(now, peer, || Account::new(rules.clone(), now, is_trusted))
    }

    /// Any that is not remembered is told when it is met.
    fn set_trusted(&mut self, now: Time, peer: &PeerId, is_trusted: bool) {
        if let Some(account) = self.accounts.get_mut(peer) {
            account.ledger.set_trusted(now, is_trusted);
        }
    }

    /// A peer may have been given back what it had lost.
    fn pardon(&mut self, cx: &mut Cx, peer: PeerId, before: Standing, rule: &'static str, is_blocked: bool) -> Option<StandingChange> {
        cx.timers.cancel(Timer::Ban(peer));
        self.tell_again(cx, peer);
        self.announce(cx, peer, before, rule);
        if before == Standing::Banned {
            self.accounts.set_banned(&peer, false);
            self.let_back_in(cx, peer, is_blocked);
        }
        self.note(cx.now.mono, peer)
    }

    /// P7.5: gossipsub may have forgotten the score of a peer that comes back, and we may have learned of it before a restart.
    fn tell_again(&mut self, cx: &mut Cx, peer: PeerId) {
        let now = cx.now.mono;
        let Some(account) = self.accounts.get_mut(&peer) else { return };
        let score = account.score(now);
        if !account.tell(cx, peer, score) && score != 0 {
            cx.act(Action::SetScore { peer, score });
        }
        if score != 0 {
            cx.timers.set_if_idle(Timer::Decay, next_tick(now));
        }
    }

    fn announce(&self, cx: &mut Cx, peer: PeerId, before: Standing, rule: &'static str) {
        let standing = self.standing(cx.now.mono, &peer);
        if before != standing {
            cx.tell(Event::StandingChanged { peer, standing, rule });
            self.persist(cx, peer);
        }
    }

    fn note(&mut self, now: Time, peer: PeerId) -> Option<StandingChange> {
        self.accounts.get_mut(&peer)?.note(now, peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;
    use crate::time::Now;
    use crate::wire::topics::ChainId;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes(&[0, 1, n]).expect("three bytes")
    }

    /// A reputation, and what it is lent.
    struct Desk {
        cx: Cx,
        reputation: Reputation,
    }

    impl Desk {
        fn new(trusted: Vec<PeerId>) -> Self {
            let config = Config { trusted, ..Config::new(ChainId(1)) };
            let reputation = Reputation::new(&config);
            Self { cx: Cx::new(config, [7; 32], Now::default()), reputation }
        }

        fn at(&mut self, ms: u64) -> &mut Self {
            self.cx.begin(Now { mono: Time::from_millis(ms), unix: UnixTime(1_000_000_000 + ms * 1000) });
            self
        }

        fn charge(&mut self, peer: PeerId, conduct: Conduct) -> Option<StandingChange> {
            self.reputation.charge(&mut self.cx, peer, "C1", conduct, Cause::Neither)
        }

        /// When the timer of bans is due, whatever else is.
        fn next_ban(&mut self) -> Time {
            loop {
                match self.cx.timers.next().expect("a ban is due, or ends") {
                    (at, Timer::Ban(_)) => return at,
                    (_, other) => self.cx.timers.cancel(other),
                }
            }
        }

        /// Everything that went out, without records.
        fn said(&mut self) -> Vec<Output> {
            std::iter::from_fn(|| self.cx.poll_output()).filter(|output| !matches!(output, Output::Persist { .. })).collect()
        }
    }

    fn score(n: u8, score: i64) -> Output {
        Output::Net(Action::SetScore { peer: peer(n), score })
    }

    fn standing(n: u8, standing: Standing, rule: &'static str) -> Output {
        Output::App(Event::StandingChanged { peer: peer(n), standing, rule })
    }

    #[test]
    fn p7_5_gossipsub_hears_of_each_change_and_our_user_of_each_standing() {
        let mut desk = Desk::new(Vec::new());
        desk.reputation.connect(&mut desk.cx, peer(1));
        assert_eq!(desk.charge(peer(1), Conduct::GossipRejected), None);
        assert_eq!(desk.said(), [score(1, -1_000_000)]);
        let change = StandingChange { peer: peer(1), standing: Standing::Throttled };
        assert_eq!(desk.charge(peer(1), Conduct::Timeout), Some(change));
        assert_eq!(desk.said(), [score(1, -1_250_000), standing(1, Standing::Throttled, "C1")]);
        assert_eq!(desk.cx.timers.next(), Some((Time::from_millis(10_000), Timer::Decay)));
    }

    #[test]
    fn p7_3_a_decay_tells_of_the_connected_ones_and_says_whose_standing_it_changed() {
        let mut desk = Desk::new(Vec::new());
        desk.reputation.connect(&mut desk.cx, peer(1));
        desk.reputation.connect(&mut desk.cx, peer(2));
        for n in [1, 2, 3] {
            desk.charge(peer(n), Conduct::GossipRejected);
            desk.charge(peer(n), Conduct::BadAnnouncement);
        }
        desk.charge(peer(2), Conduct::GossipRejected);
        desk.said();
        desk.at(10_000);
        let changes = desk.reputation.decay(&mut desk.cx);
        assert_eq!(
            changes.iter().map(|change| (change.peer, change.standing)).collect::<Vec<_>>(),
            [(peer(1), Standing::Healthy), (peer(2), Standing::Throttled)]
        );
        assert_eq!(desk.said(), [score(1, -956_250), score(2, -1_856_250)]);
    }

    #[test]
    fn p7_4_a_ban_falls_by_the_timer_and_ends_by_itself_unless_the_operator_blocks() {
        let mut desk = Desk::new(Vec::new());
        desk.charge(peer(1), Conduct::BadProtocol);
        desk.at(10_000).charge(peer(1), Conduct::BadProtocol);
        let due = desk.next_ban();
        assert_eq!(due, Time::from_millis(40_000));
        desk.said();
        desk.at(due.0 / 1000);
        assert!(desk.reputation.check_ban(&mut desk.cx, peer(1), false).is_some());
        assert_eq!(desk.said(), [Output::Net(Action::Block { peer: peer(1) }), standing(1, Standing::Banned, "P7.4")]);
        let ends = desk.reputation.banned(desk.cx.now.mono).map(|(_, ends)| ends).next().expect("it is banned");
        assert_eq!(desk.next_ban(), ends);
        desk.at(ends.0 / 1000);
        assert!(desk.reputation.check_ban(&mut desk.cx, peer(1), true).is_some());
        assert_eq!(desk.said(), [score(1, 0), standing(1, Standing::Healthy, "P7.4")], "blocked by the operator, it stays out");
    }

    #[test]
    fn p7_6_trust_gives_back_what_was_lost_and_loses_nothing_later() {
        let mut desk = Desk::new(Vec::new());
        desk.charge(peer(1), Conduct::BadProtocol);
        desk.said();
        let change = desk.reputation.trust(&mut desk.cx, peer(1), false);
        assert_eq!(change, Some(StandingChange { peer: peer(1), standing: Standing::Healthy }));
        assert_eq!(desk.said(), [score(1, 0), standing(1, Standing::Healthy, "P7.6")]);
        assert_eq!(desk.charge(peer(1), Conduct::BadProtocol), None);
        assert!(desk.said().is_empty());
    }

    #[test]
    fn p7_7_a_bad_name_is_restored_once_and_decays_meanwhile() {
        let mut desk = Desk::new(vec![peer(2)]);
        for (n, points) in [(1, -10_000_000), (2, -10_000_000), (1, 0)] {
            desk.at(0);
            desk.reputation.restore(&mut desk.cx, peer(n), points, UnixTime(1_000_000_000 - 10_000_000), None);
        }
        assert_eq!((desk.reputation.score(Time::ZERO, &peer(1)), desk.reputation.score(Time::ZERO, &peer(2))), (-9_000_000, 0));
        desk.reputation.connect(&mut desk.cx, peer(1));
        assert_eq!(desk.said(), [score(1, -9_000_000)]);
        desk.reputation.disconnect(Time::ZERO, peer(1));
        desk.reputation.persist_if_scored(&mut desk.cx, peer(1));
        let kept = Record::Peer { peer: peer(1), score: -9_000_000, as_of: UnixTime(1_000_000_000), ban_ends: None };
        assert!(matches!(desk.cx.poll_output(), Some(Output::Persist { record, .. }) if record == kept));
    }
}
