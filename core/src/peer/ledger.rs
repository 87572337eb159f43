//! What is one peer's score, and how did it come to that (P7)?
//!
//! `reputation` keeps one [`Ledger`] for each peer that is remembered and charges it with what the peer does. Nothing runs in between:
//! decay and bans are worked out when somebody asks, so a silent peer costs nothing, and [`Ledger::ban_due`] tells the machine when to ask.
//! The last [`MAX_SCORE_CHANGES`] changes are kept with their rule and cause; a peer that never changed keeps none.
//!
//! Invariant: the opening balance, the kept changes and the decays between them (P7.3) sum to the score, to the last millionth. Only
//! `record` and `settle` touch the three.

use std::collections::VecDeque;
use std::sync::Arc;

use super::conduct::{Conduct, ScoreRules};
use super::score::{Score, Standing, decayed, last_tick, next_tick, ticks};
use crate::id::{MessageId, RequestId};
use crate::time::Time;

/// Changes of a score that are kept. Source: P7.9.
pub const MAX_SCORE_CHANGES: usize = 64;

/// What caused a change of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Cause {
    /// A gossip message.
    Message(MessageId),
    /// A request of ours.
    Request(RequestId),
    /// Neither: a connection, a request of theirs, a command, the passing of time.
    Neither,
}

/// Why a score changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reason {
    /// The peer did something.
    Conduct(Conduct),
    /// So many decays passed (P7.3).
    Decay {
        /// How many.
        ticks: u32,
    },
    /// A ban ended by itself (P7.4).
    BanEnded,
    /// A ban was lifted by command.
    BanLifted,
    /// The peer is trusted from here on (P7.6).
    Trusted,
    /// The balance before the oldest change that is kept, or the score that the node started with.
    Carried,
}

impl Reason {
    /// Its name in logs and in JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Conduct(conduct) => conduct.label(),
            Self::Decay { .. } => "decay",
            Self::BanEnded => "ban_ended",
            Self::BanLifted => "ban_lifted",
            Self::Trusted => "trusted",
            Self::Carried => "carried",
        }
    }
}

/// A rule's number.
type Name = &'static str;

/// One change of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Change {
    /// When.
    pub at: Time,
    /// Number of the rule in the [`protocol`](crate::protocol): the one that was broken, where one was.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::serialize::named"))]
    pub rule: Name,
    /// Why.
    pub reason: Reason,
    /// What caused it.
    pub cause: Cause,
    /// By how much, in millionths of a point, after window, floor and clamp.
    pub delta: i64,
    /// The score after it, in millionths of a point.
    pub score: i64,
}

/// One peer's score and its history.
///
/// A time that lies before the last change counts as the time of that change.
///
/// ```
/// use std::sync::Arc;
/// use preconf_core::{Cause, Conduct, Ledger, ScoreRules, Standing, Time};
///
/// let mut ledger = Ledger::new(Arc::new(ScoreRules::default()));
/// for ms in [0, 1, 2, 3, 10_000, 10_001, 10_002, 10_003] {
///     ledger.charge(Time::from_millis(ms), Conduct::GossipRejected, Cause::Neither);
/// }
/// let now = Time::from_millis(10_003);
/// assert_eq!((ledger.score(now), ledger.standing(now)), (-7_600_000, Standing::Pruned));
///
/// // Three decays later it is still low enough. Nothing else needs to happen for the ban, but a timer must look.
/// assert_eq!(ledger.ban_due(), Some(Time::from_millis(40_001)));
/// assert_eq!(ledger.standing(Time::from_millis(40_000)), Standing::Pruned);
/// assert_eq!(ledger.standing(Time::from_millis(40_001)), Standing::Banned);
/// assert_eq!(ledger.explain(now).iter().map(|line| line.delta).sum::<i64>(), -7_600_000);
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Ledger {
    rules: Arc<ScoreRules>,
    score: Score,
    opening: Opening,
    changes: VecDeque<Change>,
}

/// The score right after the last change that is no longer kept.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Opening {
    at: Time,
    score: i64,
}

impl Ledger {
    /// Most bytes that one ledger can take, its full history included.
    pub const MAX_BYTES: usize = size_of::<Self>() + MAX_SCORE_CHANGES * size_of::<Change>();

    /// The ledger of a peer that nothing is known about.
    pub fn new(rules: Arc<ScoreRules>) -> Self {
        Self { rules, score: Score::default(), opening: Opening::default(), changes: VecDeque::new() }
    }

    /// The ledger of a peer that is known from before a restart (P7.7): its score, and the end of its ban on this run's clock.
    pub fn restored(rules: Arc<ScoreRules>, now: Time, score: i64, ban_ends: Option<Time>) -> Self {
        let score = Score::restored(now, score, ban_ends);
        Self { rules, opening: Opening { at: now, score: score.points }, score, changes: VecDeque::new() }
    }

    /// Charges what the peer did by the weight of P7.1.
    ///
    /// The change may be zero, then it is not kept: the window is spent, a floor or clamp is reached, or the peer is trusted.
    pub fn charge(&mut self, now: Time, conduct: Conduct, cause: Cause) -> Change {
        self.charge_under(now, "P7.1", conduct, cause)
    }

    /// The same, in the name of the rule that the peer broke or kept.
    pub fn charge_under(&mut self, now: Time, rule: &'static str, conduct: Conduct, cause: Cause) -> Change {
        self.settle(now);
        let delta = self.score.charge(conduct, &self.rules);
        self.record(rule, Reason::Conduct(conduct), cause, delta)
    }

    /// The same as [`Ledger::score`], so that later questions begin from here.
    pub(crate) fn settled(&mut self, now: Time) -> i64 {
        self.settle(now);
        self.score.points
    }

    /// The score in millionths of a point.
    pub fn score(&self, now: Time) -> i64 {
        self.score.at(now, &self.rules).points
    }

    /// How the peer is to be dealt with (P7.4).
    pub fn standing(&self, now: Time) -> Standing {
        self.score.at(now, &self.rules).standing()
    }

    /// When the score next changes by decay (P7.3), so that whoever mirrors it knows when to look (P7.5). `None` while it is zero.
    pub fn next_decay(&self, now: Time) -> Option<Time> {
        let score = self.score.at(now, &self.rules);
        (score.points != 0).then(|| next_tick(score.as_of))
    }

    /// When the ban falls if nothing else happens, decays included; `None` when none will. From then on, [`Ledger::standing`] says banned.
    pub fn ban_due(&self) -> Option<Time> {
        self.score.ban_due()
    }

    /// When the ban ends that stands at `now`.
    pub fn ban_ends(&self, now: Time) -> Option<Time> {
        self.score.ban_ends_by(now, &self.rules).filter(|end| *end > now.max(self.score.as_of))
    }

    /// Ends the ban that stands at `now`, as if it had run out. Says whether there was one.
    pub fn lift_ban(&mut self, now: Time) -> bool {
        let banned = self.ban_ends(now).is_some();
        if banned {
            self.settle(now);
            let delta = -self.score.points;
            self.score = self.score.cleared(self.score.as_of);
            self.record("P7.4", Reason::BanLifted, Cause::Neither, delta);
        }
        banned
    }

    /// Is the peer trusted (P7.6)?
    pub fn is_trusted(&self) -> bool {
        self.score.trusted
    }

    /// Trusts the peer from now on, or no longer. What a trusted peer had lost is given back, a ban included.
    pub fn set_trusted(&mut self, now: Time, trusted: bool) {
        self.settle(now);
        self.score.trusted = trusted;
        if trusted && (self.score.points < 0 || self.score.standing() == Standing::Banned) {
            let delta = -self.score.points;
            self.score = self.score.cleared(self.score.as_of);
            self.record("P7.6", Reason::Trusted, Cause::Neither, delta);
        }
    }

    /// How the score at `now` came about (P7.9), oldest first.
    ///
    /// The balance before the oldest change kept, if it is not zero; then each change that is kept, and between them and up to `now` one
    /// line for the decays that had an effect. The deltas sum to [`Ledger::score`], and each line's `score` is the sum up to it.
    pub fn explain(&self, now: Time) -> Vec<Change> {
        // A ban may have run out since the last change; only a settled ledger has that on record.
        let mut settled = self.clone();
        settled.settle(now);
        let mut lines = Vec::with_capacity(2 * settled.changes.len() + 2);
        let Opening { mut at, mut score } = settled.opening;
        if score != 0 {
            lines.push(Change { at, rule: "P7.9", reason: Reason::Carried, cause: Cause::Neither, delta: score, score });
        }
        for change in &settled.changes {
            lines.extend(decay_line(at, change.at, score));
            lines.push(*change);
            (at, score) = (change.at, change.score);
        }
        lines.extend(decay_line(at, settled.score.as_of, score));
        lines
    }

    /// Brings the score up to `now`; a ban that ended on the way goes on record.
    fn settle(&mut self, now: Time) {
        if let Some(end) = self.score.ban_ends_by(now, &self.rules).filter(|end| *end <= now) {
            let end = end.max(self.score.as_of);
            let delta = -self.score.decayed_to(end);
            self.score = self.score.cleared(end);
            self.record("P7.4", Reason::BanEnded, Cause::Neither, delta);
        }
        self.score = self.score.at(now, &self.rules);
    }

    fn record(&mut self, rule: &'static str, reason: Reason, cause: Cause, delta: i64) -> Change {
        let change = Change { at: self.score.as_of, rule, reason, cause, delta, score: self.score.points };
        if delta != 0 {
            if self.changes.len() == MAX_SCORE_CHANGES
                && let Some(oldest) = self.changes.pop_front()
            {
                self.opening = Opening { at: oldest.at, score: oldest.score };
            }
            self.changes.push_back(change);
        }
        change
    }
}

/// The decays in `(from, to]` as one line, unless they changed nothing.
fn decay_line(from: Time, to: Time, before: i64) -> Option<Change> {
    let ticks = ticks(from, to);
    let score = decayed(before, ticks);
    let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
    let (reason, delta) = (Reason::Decay { ticks }, score - before);
    (delta != 0).then_some(Change { at: last_tick(to), rule: "P7.3", reason, cause: Cause::Neither, delta, score })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::time::Duration;

    use super::*;
    use crate::peer::conduct::POINT;

    #[test]
    fn p7_9_a_change_names_its_rule_and_its_cause() {
        let mut ledger = fresh();
        let message = Cause::Message(MessageId([7; 20]));
        let change = ledger.charge_under(ms(5), "C7", Conduct::GossipRejected, message);
        let expected = Change {
            at: ms(5),
            rule: "C7",
            reason: Reason::Conduct(Conduct::GossipRejected),
            cause: message,
            delta: -POINT,
            score: -POINT,
        };
        assert_eq!(change, expected);
        let request = Cause::Request(RequestId(9));
        ledger.charge(ms(25_000), Conduct::ResponseOk, request);
        let lines = ledger.explain(ms(25_000));
        assert_eq!(lines[0], expected);
        assert_eq!(
            (lines[1].at, lines[1].rule, lines[1].reason, lines[1].delta),
            (ms(20_000), "P7.3", Reason::Decay { ticks: 2 }, 190_000)
        );
        assert_eq!((lines[2].rule, lines[2].cause, lines[2].delta, lines[2].score), ("P7.1", request, 50_000, -760_000));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn p7_9_only_the_last_64_changes_are_kept_and_the_rest_is_carried() {
        let mut ledger = fresh();
        for k in 0..100 {
            ledger.charge(ms(k * 1000), Conduct::BadAnnouncement, Cause::Neither);
        }
        let lines = ledger.explain(ms(99_000));
        assert_eq!(lines.iter().filter(|line| matches!(line.reason, Reason::Conduct(_))).count(), MAX_SCORE_CHANGES);
        assert_eq!((lines[0].reason, lines[0].at), (Reason::Carried, ms(35_000)));
        assert_sums(&ledger, ms(99_000));
        assert!(ledger.changes.capacity() <= MAX_SCORE_CHANGES, "a full history takes no more than MAX_BYTES says");
    }

    #[test]
    fn p7_9_a_peer_without_changes_keeps_no_history() {
        let mut ledger = fresh();
        ledger.set_trusted(ms(0), true);
        ledger.charge(ms(1), Conduct::BadProtocol, Cause::Neither);
        assert_eq!(ledger.changes.capacity(), 0);
        assert_eq!(ledger.explain(ms(1)), []);
    }

    #[test]
    fn p7_9_a_flood_past_the_window_leaves_the_reasons_of_the_loss_on_record() {
        let mut ledger = fresh();
        ledger.charge_under(ms(0), "C2", Conduct::GossipRejected, Cause::Neither);
        for _ in 0..100_000 {
            ledger.charge_under(ms(1), "C1", Conduct::GossipRejected, Cause::Neither);
        }
        let rules: Vec<_> = ledger.explain(ms(1)).iter().map(|line| line.rule).collect();
        assert_eq!(rules, ["C2", "C1", "C1", "C1"]);
    }

    #[test]
    fn p7_4_a_ban_ends_by_itself_with_score_0() {
        let mut ledger = banned_after_40_s(Duration::from_secs(5));
        assert_eq!(ledger.ban_ends(ms(40_001)), Some(ms(45_001)));
        assert_eq!((ledger.standing(ms(45_000)), ledger.score(ms(45_000))), (Standing::Banned, -5_540_400));
        assert_eq!((ledger.standing(ms(45_001)), ledger.score(ms(45_001))), (Standing::Healthy, 0));
        let last = *ledger.explain(ms(60_000)).last().expect("a line");
        assert_eq!((last.at, last.rule, last.reason, last.delta), (ms(45_001), "P7.4", Reason::BanEnded, 5_540_400));
        assert_eq!(ledger.charge(ms(60_000), Conduct::GossipRejected, Cause::Neither).score, -POINT);
        assert_sums(&ledger, ms(60_000));
    }

    #[test]
    fn p7_4_a_lifted_ban_leaves_a_clean_slate() {
        let mut ledger = banned_after_40_s(Duration::from_secs(3600));
        assert!(!ledger.lift_ban(ms(40_000)), "not banned yet");
        assert!(ledger.lift_ban(ms(41_000)));
        assert_eq!((ledger.standing(ms(41_000)), ledger.score(ms(41_000)), ledger.ban_due()), (Standing::Healthy, 0, None));
        assert_sums(&ledger, ms(41_000));
        assert!(!ledger.lift_ban(ms(41_000)), "once is enough");
    }

    #[test]
    fn p7_4_late_news_of_a_banned_peer_move_its_score_and_not_its_ban() {
        let mut ledger = banned_after_40_s(Duration::from_secs(3600));
        for k in 0..200 {
            let conduct = if k < 100 { Conduct::ResponseOk } else { Conduct::BadProtocol };
            ledger.charge(ms(41_000 + k * 1000), conduct, Cause::Neither);
            assert_eq!(ledger.ban_ends(ms(41_000 + k * 1000)), Some(ms(3_640_001)));
        }
        assert_eq!((ledger.score(ms(3_640_001)), ledger.standing(ms(3_640_001))), (0, Standing::Healthy));
        assert_sums(&ledger, ms(3_640_001));
    }

    #[test]
    fn p7_5_who_mirrors_the_score_is_told_when_it_decays_next() {
        let mut ledger = fresh();
        assert_eq!(ledger.next_decay(ms(5)), None);
        ledger.charge(ms(5), Conduct::BadAnnouncement, Cause::Neither);
        let mut looks = 0;
        let mut now = ms(5);
        while let Some(next) = ledger.next_decay(now) {
            assert_eq!(ledger.score(Time(next.0 - 1)), ledger.score(now));
            assert_ne!(ledger.score(next), ledger.score(now));
            (now, looks) = (next, looks + 1);
        }
        assert_eq!((looks, ledger.score(now)), (18, 0));
    }

    #[test]
    fn p7_6_a_trusted_peer_loses_nothing_and_is_never_banned() {
        let mut ledger = fresh();
        ledger.set_trusted(ms(0), true);
        for k in 0..100 {
            ledger.charge(ms(k * 1000), Conduct::BadProtocol, Cause::Neither);
        }
        assert_eq!((ledger.score(ms(100_000)), ledger.ban_due()), (0, None));
        assert_eq!(ledger.charge(ms(100_000), Conduct::ResponseOk, Cause::Neither).delta, 50_000);
    }

    #[test]
    fn p7_6_trust_gives_back_what_was_lost_and_ends_a_ban() {
        let mut ledger = banned_after_40_s(Duration::from_secs(3600));
        ledger.set_trusted(ms(50_000), true);
        assert_eq!((ledger.standing(ms(50_000)), ledger.score(ms(50_000)), ledger.ban_ends(ms(50_000))), (Standing::Healthy, 0, None));
        assert_sums(&ledger, ms(50_000));
        ledger.set_trusted(ms(50_000), false);
        assert_eq!(ledger.charge(ms(50_001), Conduct::GossipRejected, Cause::Neither).delta, -POINT);
    }

    #[test]
    fn p7_7_a_restored_ban_goes_on_and_a_restored_score_is_carried() {
        let rules = Arc::new(ScoreRules::default());
        let ledger = Ledger::restored(Arc::clone(&rules), ms(3), -6 * POINT, Some(ms(9_000)));
        assert_eq!((ledger.standing(ms(3)), ledger.ban_ends(ms(3))), (Standing::Banned, Some(ms(9_000))));
        assert_eq!((ledger.standing(ms(9_000)), ledger.score(ms(9_000))), (Standing::Healthy, 0));
        assert_sums(&ledger, ms(9_000));
        let ledger = Ledger::restored(rules, ms(3), -70 * POINT, None);
        assert_eq!((ledger.score(ms(3)), ledger.ban_due()), (-10 * POINT, Some(ms(30_003))));
        assert_eq!(ledger.explain(ms(3))[0].reason, Reason::Carried);
        assert_sums(&ledger, ms(30_003));
    }

    #[test]
    fn a_time_that_goes_back_counts_as_the_last_one() {
        let mut ledger = fresh();
        ledger.charge(ms(20_000), Conduct::GossipRejected, Cause::Neither);
        let change = ledger.charge(ms(1), Conduct::GossipRejected, Cause::Neither);
        assert_eq!((change.at, change.score, ledger.score(ms(0))), (ms(20_000), -2 * POINT, -2 * POINT));
    }

    proptest! {
        #[test]
        fn p7_9_the_explanation_always_sums_to_the_score(
            steps in prop::collection::vec((0usize..14, 0u64..25_000_000), 0..300),
            ban_secs in 1u64..200,
            start in -12 * POINT..12 * POINT,
        ) {
            let rules = Arc::new(ScoreRules { ban_for: Duration::from_secs(ban_secs), ..ScoreRules::default() });
            let mut ledger = Ledger::restored(rules, Time(5), start, None);
            let mut now = Time(0);
            for (op, wait) in steps {
                // Mostly close together, so that bans come about; sometimes days, sometimes back in time.
                now = match op {
                    10 => Time(now.0.saturating_add(wait.saturating_mul(40_000))),
                    11 => Time(now.0.saturating_sub(wait)),
                    _ => Time(now.0.saturating_add(wait / 8)),
                };
                match op {
                    12 => { ledger.lift_ban(now); }
                    13 => ledger.set_trusted(now, wait % 3 == 0),
                    _ => { ledger.charge(now, Conduct::ALL[op % 10], Cause::Neither); }
                }
                assert_sums(&ledger, now);
                assert_sums(&ledger, Time(now.0.saturating_add(wait)));
            }
        }
    }

    fn assert_sums(ledger: &Ledger, now: Time) {
        let lines = ledger.explain(now);
        let mut sum = 0;
        for line in &lines {
            sum += line.delta;
            assert_eq!(line.score, sum, "{lines:#?}");
        }
        assert_eq!(sum, ledger.score(now), "{lines:#?}");
        assert!(lines.is_sorted_by_key(|line| line.at), "{lines:#?}");
    }

    fn banned_after_40_s(ban_for: Duration) -> Ledger {
        let mut ledger = Ledger::new(Arc::new(ScoreRules { ban_for, ..ScoreRules::default() }));
        for at in [0, 1, 2, 3, 10_000, 10_001, 10_002, 10_003] {
            ledger.charge(ms(at), Conduct::GossipRejected, Cause::Neither);
        }
        ledger
    }

    fn fresh() -> Ledger {
        Ledger::new(Arc::new(ScoreRules::default()))
    }

    fn ms(ms: u64) -> Time {
        Time::from_millis(ms)
    }
}
