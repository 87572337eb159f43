//! `reputation.json`: scores over time (P7.1–P7.4), and that their history sums to them (P7.9).

use std::sync::Arc;

use preconf_core::{Cause, Conduct, Ledger, ScoreRules, Time, Weights};
use serde::Deserialize;

use super::report::{Problem, Tally, Unreadable, consistent, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    unit: Unit,
    deltas: Deltas,
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deltas {
    gossip_accepted: i64,
    response_ok: i64,
    gossip_rejected: i64,
    bad_message: i64,
    timeout: i64,
    rate_limited: i64,
    dropped: i64,
    failed_to_connect: i64,
    bad_announcement: i64,
    bad_protocol: i64,
}

#[derive(Clone, Copy, Deserialize)]
enum Unit {
    #[serde(rename = "millionths of a point")]
    MillionthsOfAPoint,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    t_ms: u64,
    r#do: String,
    score: i64,
    state: String,
}

pub(super) fn run(text: &[u8]) -> Result<Tally, Unreadable> {
    let File { unit: Unit::MillionthsOfAPoint, deltas, scenarios } = serde_json::from_slice(text)?;
    let mut tally = Tally::default();
    tally.check(&[deltas], |_| "deltas", check_deltas);
    tally.check(&scenarios, |row| &row.name, check);
    Ok(tally)
}

/// P7.1: the default weights.
fn check_deltas(deltas: &Deltas) -> Result<(), Problem> {
    Conduct::ALL.into_iter().try_for_each(|conduct| same(conduct.label(), &deltas.of(conduct), &Weights::default().of(conduct)))
}

fn check(row: &Scenario) -> Result<(), Problem> {
    consistent(!row.steps.is_empty(), "a scenario without a step")?;
    consistent(row.steps.is_sorted_by_key(|step| step.t_ms), "time goes back")?;
    let mut ledger = Ledger::new(Arc::new(ScoreRules::default()));
    for step in &row.steps {
        let now = Time::from_millis(step.t_ms);
        if step.r#do != "look" {
            let known = Conduct::ALL.into_iter().find(|conduct| conduct.label() == step.r#do);
            let Some(conduct) = known else { return Err(Problem::Contradiction("a conduct that nobody knows")) };
            ledger.charge(now, conduct, Cause::Neither);
        }
        same("score", &step.score, &ledger.score(now))?;
        same("state", &step.state[..], ledger.standing(now).label())?;
        same("sum of the history", &step.score, &ledger.explain(now).iter().map(|line| line.delta).sum())?;
    }
    Ok(())
}

impl Deltas {
    fn of(&self, conduct: Conduct) -> i64 {
        match conduct {
            Conduct::GossipAccepted => self.gossip_accepted,
            Conduct::ResponseOk => self.response_ok,
            Conduct::GossipRejected => self.gossip_rejected,
            Conduct::BadMessage => self.bad_message,
            Conduct::Timeout => self.timeout,
            Conduct::RateLimited => self.rate_limited,
            Conduct::Dropped => self.dropped,
            Conduct::FailedToConnect => self.failed_to_connect,
            Conduct::BadAnnouncement => self.bad_announcement,
            Conduct::BadProtocol => self.bad_protocol,
        }
    }
}
