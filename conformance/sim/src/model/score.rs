//! What is a peer's score (P7.1–P7.4), counted tick by tick?
//!
//! The machine says what each peer did (P7.9); the model does the sum again, and knows by itself what must be on that list and what cannot:
//! one line for each verdict that was given, and absences that cost nothing because the floor was reached.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use preconf_core::{Conduct, Core, Now, PeerId, Reason, Record, ScoreRules, Standing, Time, Verdict};

use super::{Disagreement, differ};

const POINT: i64 = 1_000_000;

/// One peer's score as the page reads.
#[derive(Clone, Debug, Default)]
struct Naive {
    points: i64,
    ticks: u64,
    window: Option<(Time, i64, i64)>,
    low_since: Option<Time>,
    ban_ends: Option<Time>,
    /// Lines of the machine's list that are counted already: at which time, and how many.
    counted: (Time, usize),
}

impl Naive {
    /// Brings it up to a time, one thing after the other.
    fn look(&mut self, now: Time, rules: &ScoreRules) {
        loop {
            let tick = Time((self.ticks + 1) * 10_000_000);
            let ban = self.low_since.filter(|_| self.ban_ends.is_none()).map(|since| since.after(Duration::from_secs(30)));
            let next = [Some(tick), ban, self.ban_ends].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= now) else { return };
            // P7.4: a decay of the very moment still saves the peer.
            if at == tick {
                self.ticks += 1;
                self.points = self.points * 9 / 10;
                if self.points.abs() < POINT / 100 {
                    self.points = 0;
                }
                self.settle(at);
            } else if Some(at) == self.ban_ends {
                (self.points, self.ban_ends, self.low_since, self.window) = (0, None, None, None);
            } else {
                (self.ban_ends, self.low_since) = (Some(at.after(rules.ban_for)), None);
            }
        }
    }

    fn settle(&mut self, at: Time) {
        let is_low = self.points <= -5 * POINT && self.ban_ends.is_none();
        self.low_since = if is_low { self.low_since.or(Some(at)) } else { None };
    }

    /// P7.1, P7.2, P7.2a. Says by how much the points changed.
    fn charge(&mut self, now: Time, conduct: Conduct, rules: &ScoreRules) -> i64 {
        let weight = rules.weights.of(conduct);
        let window = self.window.filter(|(start, _, _)| now < start.after(Duration::from_secs(10)));
        let (start, mut taken, mut given) = window.unwrap_or((now, 0, 0));
        let before = self.points;
        if weight > 0 {
            let step = weight.min(POINT - given);
            given += step;
            self.points = (before + step).min(10 * POINT);
        } else if weight < 0 {
            let step = (-weight).min(4 * POINT - taken);
            taken += step;
            let is_absence = matches!(conduct, Conduct::Timeout | Conduct::Dropped | Conduct::FailedToConnect);
            let floor = if is_absence { before.min(-2 * POINT) } else { -10 * POINT };
            self.points = (before - step).max(floor);
        }
        self.window = Some((start, taken, given));
        self.settle(now);
        self.points - before
    }

    fn standing(&self) -> Standing {
        if self.ban_ends.is_some() {
            Standing::Banned
        } else if self.points < -2 * POINT {
            Standing::Pruned
        } else if self.points < -POINT {
            Standing::Throttled
        } else {
            Standing::Healthy
        }
    }
}

/// What a step did to a peer, as far as can be seen without the machine's list.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    accepted: usize,
    rejected: usize,
    absent: usize,
}

/// The scores of all peers.
#[derive(Debug)]
pub(super) struct Scores {
    rules: ScoreRules,
    peers: BTreeMap<PeerId, Naive>,
    /// Peers whose past, or whose judge, is not ours.
    unknown: BTreeSet<PeerId>,
    step: BTreeMap<PeerId, Step>,
    /// Peers that were blocked or changed their standing in this step.
    standings: Vec<(PeerId, Standing)>,
}

impl Scores {
    pub(super) fn new(rules: ScoreRules) -> Self {
        Self { rules, peers: BTreeMap::new(), unknown: BTreeSet::new(), step: BTreeMap::new(), standings: Vec::new() }
    }

    pub(super) fn is_unknown(&mut self, peer: PeerId) {
        self.unknown.insert(peer);
    }

    pub(super) fn restored(&mut self, records: &[Record]) {
        self.unknown.extend(records.iter().filter_map(|record| match record {
            Record::Peer { peer, .. } => Some(*peer),
            _ => None,
        }));
    }

    pub(super) fn touched(&mut self, peer: PeerId) {
        self.step.entry(peer).or_default();
    }

    pub(super) fn judged(&mut self, peer: PeerId, verdict: Verdict) {
        let step = self.step.entry(peer).or_default();
        match verdict {
            Verdict::Accept => step.accepted += 1,
            Verdict::Reject => step.rejected += 1,
            Verdict::Ignore => {}
        }
    }

    pub(super) fn absent(&mut self, peer: PeerId) {
        self.step.entry(peer).or_default().absent += 1;
    }

    /// Its last connection may be gone, and so many requests with it.
    pub(super) fn may_be_absent(&mut self, peer: PeerId, requests: usize) {
        if requests > 0 {
            self.unknown.insert(peer); // which of them were on their way is the machine's to know
        }
    }

    pub(super) fn blocked(&mut self, now: Now, peer: PeerId) -> Result<(), Disagreement> {
        self.standing(now, peer, Standing::Banned)
    }

    pub(super) fn standing(&mut self, _: Now, peer: PeerId, standing: Standing) -> Result<(), Disagreement> {
        self.touched(peer);
        self.standings.push((peer, standing));
        Ok(())
    }

    /// Does the sum again for every peer that something happened to.
    pub(super) fn compare(&mut self, now: Now, core: &Core) -> Result<(), Disagreement> {
        for (peer, step) in std::mem::take(&mut self.step) {
            if !self.unknown.contains(&peer) {
                self.compare_one(now, core, peer, step)?;
            }
        }
        for (peer, said) in std::mem::take(&mut self.standings) {
            let Some(naive) = self.peers.get(&peer).filter(|_| !self.unknown.contains(&peer)) else { continue };
            // A step may pass through several standings; the last one counts, and a ban always does.
            if said == Standing::Banned && naive.standing() != said {
                return Err(differ("P7.4", (peer, said), (naive.standing(), naive.points)));
            }
        }
        Ok(())
    }

    fn compare_one(&mut self, now: Now, core: &Core, peer: PeerId, step: Step) -> Result<(), Disagreement> {
        let (now, rules) = (now, self.rules);
        let naive = self.peers.entry(peer).or_default();
        naive.look(now.mono, &rules);
        let lines = core.explain(now, peer);
        let here: Vec<_> = lines.iter().filter(|line| line.at == now.mono && matches!(line.reason, Reason::Conduct(_))).collect();
        let known = if naive.counted.0 == now.mono { naive.counted.1 } else { 0 };
        let (mut accepted, mut rejected, mut absent) = (0, 0, 0);
        for line in here.iter().skip(known) {
            let Reason::Conduct(conduct) = line.reason else { continue };
            match conduct {
                Conduct::GossipAccepted => accepted += 1,
                Conduct::GossipRejected => rejected += 1,
                Conduct::Timeout | Conduct::Dropped => absent += 1,
                _ => {}
            }
            let delta = naive.charge(now.mono, conduct, &rules);
            if (delta, naive.points) != (line.delta, line.score) {
                return Err(differ("P7.1", (peer, conduct, line.delta, line.score), (delta, naive.points)));
            }
        }
        naive.counted = (now.mono, here.len());
        if accepted > step.accepted || rejected > step.rejected {
            // Held messages are charged when they are decided, long after their verdict was due (P5.1).
            if accepted > step.accepted {
                return Err(differ("P7.1", (peer, "credit for gossip", accepted), ("verdicts", step.accepted)));
            }
        }
        // What is not on the list changed nothing, or it would be there.
        let missing = [
            (Conduct::GossipAccepted, step.accepted.saturating_sub(accepted)),
            (Conduct::GossipRejected, step.rejected.saturating_sub(rejected)),
            (Conduct::Dropped, step.absent.saturating_sub(absent)),
        ];
        for (conduct, count) in missing {
            for _ in 0..count {
                let delta = naive.charge(now.mono, conduct, &rules);
                if delta != 0 {
                    return Err(differ("P7.9", (peer, conduct, "is not charged"), delta));
                }
            }
        }
        let said = lines.last().map_or(0, |line| line.score);
        if said != naive.points {
            return Err(differ("P7.3", (peer, said), naive.points));
        }
        Ok(())
    }
}
