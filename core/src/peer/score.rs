//! What is a peer's score at a given time (P7.1–P7.4, P7.6)?
//!
//! A [`Score`] is a plain value: its points at one time, and what is needed to say its points, standing and ban at any later one if nothing
//! else happens. [`Ledger`](super::ledger::Ledger) alone owns scores, and adds the history.
//!
//! | from | what happens | to |
//! |---|---|---|
//! | any but banned | a charge, or a decay tick | healthy, throttled or pruned, by the points alone |
//! | pruned | at or below −5 for 30 s on end, the decay of that moment included | banned |
//! | banned | `ban_for` passes, the ban is lifted, or the peer is trusted | healthy, with 0 points |
//!
//! Invariant: `low_since` is set exactly while an unbanned peer's points are at or below [`BAN_AT`]; a trusted peer's never are. Only
//! [`Score::at`] and [`Score::set`] touch it.

use std::time::Duration;

use super::conduct::{Conduct, POINT, ScoreRules};
use crate::time::Time;

/// Highest score, and lowest with the sign turned. Source: P7.1.
pub(crate) const CLAMP: i64 = 10 * POINT;
/// How long a window of changes lasts. Source: P7.2.
const WINDOW: Duration = Duration::from_secs(10);
/// Most that failures take in one window. Source: P7.2.
const MAX_TAKEN: i64 = 4 * POINT;
/// Most that successes give in one window. Source: P7.2.
const MAX_GIVEN: i64 = POINT;
/// Microseconds between decays, counted from the node's start. Source: P7.3.
pub(crate) const TICK_MICROS: u64 = 10_000_000;
/// A score nearer to zero than this becomes zero at a decay. Source: P7.3.
const NEGLIGIBLE: i64 = POINT / 100;
/// Below this a peer is throttled. Source: P7.4.
const THROTTLED_BELOW: i64 = -POINT;
/// Below this a peer is pruned. Source: P7.4.
const PRUNED_BELOW: i64 = -2 * POINT;
/// At or below this a peer is on its way to a ban. Source: P7.4.
const BAN_AT: i64 = -5 * POINT;
/// How long on end a score must be that low. Source: P7.4.
const BAN_AFTER: Duration = Duration::from_secs(30);

/// The application score that gossipsub is given for a peer's score, both in millionths of a point (P7.5).
///
/// Gossipsub keeps whoever is below zero out of its mesh, and refuses them for a minute after that. The page wants it of the pruned alone (P7.4):
/// a peer that was restarted, and owes nothing but its absence (P7.2a), would else hear no gossip for minutes. So a smaller debt is none there.
///
/// ```
/// use preconf_core::{POINT, application_score};
/// assert_eq!([POINT, -POINT / 4, -2 * POINT].map(application_score), [POINT, 0, 0]);
/// assert_eq!(application_score(-2 * POINT - 1), -2 * POINT - 1, "pruned");
/// ```
pub const fn application_score(score: i64) -> i64 {
    if score < 0 && score >= PRUNED_BELOW { 0 } else { score }
}

/// How do we deal with a peer (P7.4)?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Standing {
    /// Like with any other.
    Healthy,
    /// No request of ours goes to it while a better peer can serve.
    Throttled,
    /// Out of the mesh, and its requests are refused.
    Pruned,
    /// Disconnected, and blocked both ways.
    Banned,
}

impl Standing {
    /// Its name in metrics, logs and test vectors.
    pub fn label(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Throttled => "throttled",
            Self::Pruned => "pruned",
            Self::Banned => "banned",
        }
    }
}

/// A peer's points at `as_of`, and what decides the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Score {
    pub(crate) points: i64,
    pub(crate) as_of: Time,
    pub(crate) trusted: bool,
    low_since: Option<Time>,
    ban_ends: Option<Time>,
    window: Option<Window>,
}

/// What one window has seen so far (P7.2). One window counts both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Window {
    start: Time,
    taken: i64,
    given: i64,
}

impl Score {
    /// A score brought from elsewhere.
    pub(crate) fn restored(now: Time, points: i64, ban_ends: Option<Time>) -> Self {
        let mut score = Self { as_of: now, ban_ends, ..Self::default() };
        score.set(points.clamp(-CLAMP, CLAMP));
        score
    }

    /// The same score at a later time, if nothing else happens till then. A time before the last one counts as the last one.
    pub(crate) fn at(self, now: Time, rules: &ScoreRules) -> Self {
        let now = now.max(self.as_of);
        let ban_ends = self.ban_ends_by(now, rules);
        if ban_ends.is_some_and(|end| end <= now) {
            // P7.4: a ban ends by itself with score 0.
            return self.cleared(now);
        }
        let mut later = Self { ban_ends, as_of: now, ..self };
        later.set(decayed(self.points, ticks(self.as_of, now)));
        later
    }

    /// Points at a later time by decay alone.
    pub(crate) fn decayed_to(&self, now: Time) -> i64 {
        decayed(self.points, ticks(self.as_of, now))
    }

    /// A clean slate; trust stays.
    pub(crate) fn cleared(self, now: Time) -> Self {
        Self { as_of: now, trusted: self.trusted, ..Self::default() }
    }

    /// When the ban that stands at `now`, or has stood since the last change, is over.
    pub(crate) fn ban_ends_by(&self, now: Time, rules: &ScoreRules) -> Option<Time> {
        self.ban_ends.or_else(|| self.ban_due().filter(|due| *due <= now).map(|due| due.after(rules.ban_for)))
    }

    /// When the ban falls if nothing else happens. `None` if it stands already, or decay lifts the score in time.
    pub(crate) fn ban_due(&self) -> Option<Time> {
        let due = self.low_since?.after(BAN_AFTER);
        // Decay only ever raises a score below zero, so low at the end means low all along.
        (self.decayed_to(due) <= BAN_AT).then_some(due)
    }

    /// How we deal with the peer at `as_of`.
    pub(crate) fn standing(&self) -> Standing {
        match self.points {
            _ if self.ban_ends.is_some() => Standing::Banned,
            points if points < PRUNED_BELOW => Standing::Pruned,
            points if points < THROTTLED_BELOW => Standing::Throttled,
            _ => Standing::Healthy,
        }
    }

    /// Charges a conduct at `as_of` and says by how much the points changed. Late news of a banned peer move its points, not its ban.
    pub(crate) fn charge(&mut self, conduct: Conduct, rules: &ScoreRules) -> i64 {
        let weight = rules.weights.of(conduct);
        // P7.6: trusted peers lose nothing.
        if weight == 0 || (self.trusted && weight < 0) {
            return 0;
        }
        let mut window = match self.window {
            Some(window) if self.as_of < window.start.after(WINDOW) => window,
            Some(_) | None => Window { start: self.as_of, taken: 0, given: 0 },
        };
        let before = self.points;
        let points = if weight > 0 {
            let step = weight.min(MAX_GIVEN - window.given);
            window.given += step;
            before + step
        } else {
            let step = weight.saturating_neg().min(MAX_TAKEN - window.taken);
            window.taken += step; // P7.2a: the window is used up even where the floor holds
            // P7.2a: absence is not malice.
            if conduct.is_absence() { (before - step).max(rules.absence_floor.min(before)) } else { before - step }
        };
        self.window = Some(window);
        self.set(points.clamp(-CLAMP, CLAMP)); // P7.1
        self.points - before
    }

    fn set(&mut self, points: i64) {
        self.points = points;
        self.low_since = if points > BAN_AT || self.ban_ends.is_some() { None } else { Some(self.low_since.unwrap_or(self.as_of)) };
    }
}

/// The number of decays in `(from, to]`.
pub(crate) fn ticks(from: Time, to: Time) -> u64 {
    (to.0 / TICK_MICROS).saturating_sub(from.0 / TICK_MICROS)
}

/// When the last decay at or before `time` was.
pub(crate) fn last_tick(time: Time) -> Time {
    Time(time.0 - time.0 % TICK_MICROS)
}

/// When the first decay after `time` is.
pub(crate) fn next_tick(time: Time) -> Time {
    last_tick(time).after(Duration::from_micros(TICK_MICROS))
}

/// Points after so many decays (P7.3). Any score is zero after at most 66 of them, so days of silence cost no more than that.
pub(crate) fn decayed(mut points: i64, ticks: u64) -> i64 {
    for _ in 0..ticks {
        if points == 0 {
            break;
        }
        points = points * 9 / 10; // integer division rounds toward zero, as P7.3 wants
        if points.abs() < NEGLIGIBLE {
            points = 0;
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p7_1_a_score_never_passes_10_either_way() {
        let rules = ScoreRules::default();
        let mut score = Score { points: 9_990_000, ..Score::default() };
        assert_eq!((score.charge(Conduct::ResponseOk, &rules), score.points), (10_000, CLAMP));
        let mut score = Score { points: -9_500_000, ..Score::default() };
        assert_eq!((score.charge(Conduct::BadProtocol, &rules), score.points), (-500_000, -CLAMP));
    }

    #[test]
    fn p7_2_a_new_window_starts_at_the_first_change_after_the_last_one_ended() {
        let rules = ScoreRules::default();
        let mut score = Score::default().at(secs(3), &rules);
        assert_eq!(score.charge(Conduct::BadProtocol, &rules), -4 * POINT);
        let mut score = score.at(Time(12_999_999), &rules);
        assert_eq!(score.charge(Conduct::BadProtocol, &rules), 0);
        let mut score = score.at(secs(13), &rules);
        assert_eq!(score.charge(Conduct::BadProtocol, &rules), -4 * POINT);
    }

    #[test]
    fn p7_2a_absence_alone_stops_at_minus_2_and_leaves_a_lower_score_as_it_is() {
        let rules = ScoreRules::default();
        for absence in [Conduct::Timeout, Conduct::Dropped, Conduct::FailedToConnect] {
            let mut score = Score { points: -1_900_000, ..Score::default() };
            assert_eq!((score.charge(absence, &rules), score.points), (-100_000, -2 * POINT), "{absence:?}");
            let mut score = Score { points: -3 * POINT, ..Score::default() };
            assert_eq!((score.charge(absence, &rules), score.points), (0, -3 * POINT), "{absence:?}");
        }
    }

    #[test]
    fn p7_2a_absence_still_uses_up_the_window() {
        let rules = ScoreRules::default();
        let mut score = Score { points: rules.absence_floor, ..Score::default() };
        for _ in 0..3 {
            score.charge(Conduct::FailedToConnect, &rules);
        }
        assert_eq!((score.charge(Conduct::GossipRejected, &rules), score.points), (0, rules.absence_floor));
    }

    #[test]
    fn p7_3_decay_rounds_toward_zero_and_snaps_below_a_hundredth() {
        assert_eq!((decayed(-3_306_744, 1), decayed(3_306_744, 1)), (-2_976_069, 2_976_069));
        assert_eq!((decayed(11_112, 1), decayed(11_111, 1), decayed(-11_111, 1)), (10_000, 0, 0));
    }

    #[test]
    fn p7_3_years_of_silence_cost_no_more_than_66_decays() {
        assert_ne!(decayed(CLAMP, 65), 0);
        assert_eq!(decayed(CLAMP, 66), 0);
        assert_eq!(decayed(-CLAMP, u64::MAX), 0);
    }

    #[test]
    fn p7_4_standing_changes_below_its_thresholds_not_at_them() {
        let standing = |points| Score { points, ..Score::default() }.standing();
        assert_eq!(standing(-POINT), Standing::Healthy);
        assert_eq!(standing(-POINT - 1), Standing::Throttled);
        assert_eq!(standing(-2 * POINT), Standing::Throttled);
        assert_eq!(standing(-2 * POINT - 1), Standing::Pruned);
    }

    #[test]
    fn p7_4_exactly_minus_5_is_low_enough_for_a_ban() {
        assert_eq!(Score::restored(secs(1), BAN_AT + 1, None).low_since, None);
        assert_eq!(Score::restored(secs(1), BAN_AT, None).low_since, Some(secs(1)));
    }

    #[test]
    fn p7_4_a_decay_at_the_very_moment_still_saves_the_peer() {
        let rules = ScoreRules::default();
        // Low from 10 s on; at 40 s the third decay is due together with the ban.
        let saved = Score::restored(secs(10), -6_858_000, None);
        assert_eq!((saved.decayed_to(secs(40)), saved.ban_due()), (-4_999_482, None));
        let lost = Score::restored(secs(10), -6_860_000, None);
        assert_eq!((lost.decayed_to(secs(40)), lost.ban_due()), (-5_000_940, Some(secs(40))));
        assert_eq!(lost.at(secs(40), &rules).standing(), Standing::Banned);
    }

    #[test]
    fn p7_4_a_success_that_lifts_the_score_starts_the_wait_anew() {
        let rules = ScoreRules::default();
        let mut score = Score::restored(secs(1), -5_020_000, None);
        score.charge(Conduct::ResponseOk, &rules);
        assert_eq!(score.ban_due(), None);
        let mut score = score.at(secs(2), &rules);
        score.charge(Conduct::BadProtocol, &rules);
        assert_eq!(score.ban_due(), Some(secs(32)));
    }

    proptest! {
        /// The lazy score against one that is looked at every half second, tick by tick.
        #[test]
        fn p7_3_p7_4_looking_often_or_never_comes_to_the_same(
            charges in prop::collection::btree_map(0u64..240, 0usize..10, 0..80),
            harsh in any::<bool>(),
        ) {
            let rules = ScoreRules { ban_for: Duration::from_secs(60), ..ScoreRules::default() };
            let (mut lazy, mut eager) = (Score::default(), Naive::default());
            for half in 0..400u64 {
                let now = Time(half * 500_000);
                eager.look(now, rules.ban_for);
                if let Some(pick) = charges.get(&half) {
                    let conduct = if harsh { Conduct::BadProtocol } else { Conduct::ALL[*pick] };
                    lazy = lazy.at(now, &rules);
                    let delta = lazy.charge(conduct, &rules);
                    eager.points += delta;
                    eager.look(now, rules.ban_for);
                }
                let seen = lazy.at(now, &rules);
                prop_assert_eq!(seen.points, eager.points, "at {:?}", now);
                prop_assert_eq!(seen.standing() == Standing::Banned, eager.ban_ends.is_some(), "at {:?}", now);
            }
        }
    }

    /// P7.3 and P7.4 as they read, without any thought of cost. Must be looked at often enough not to miss a moment.
    #[derive(Default)]
    struct Naive {
        points: i64,
        ticks: u64,
        low_since: Option<Time>,
        ban_ends: Option<Time>,
    }

    impl Naive {
        fn look(&mut self, now: Time, ban_for: Duration) {
            while self.ticks < now.0 / TICK_MICROS {
                self.ticks += 1;
                self.points = self.points * 9 / 10;
                if self.points.abs() < 10_000 {
                    self.points = 0;
                }
            }
            if self.ban_ends.is_some_and(|end| end <= now) {
                (self.points, self.ban_ends, self.low_since) = (0, None, None);
            }
            if self.points > -5_000_000 {
                self.low_since = None;
            } else if self.ban_ends.is_none() && self.since(now) >= Duration::from_secs(30) {
                self.ban_ends = Some(now.after(ban_for));
            }
        }

        fn since(&mut self, now: Time) -> Duration {
            now.since(*self.low_since.get_or_insert(now))
        }
    }

    fn secs(secs: u64) -> Time {
        Time::from_millis(secs * 1000)
    }
}
