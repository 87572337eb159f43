//! `reputation.json`: scores over time (P7.1–P7.4). Read strictly and counted as pending: the core keeps no scores yet.

use serde::Deserialize;

use super::report::{Tally, Unreadable};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its form alone until the core keeps scores")]
struct File {
    unit: String,
    deltas: Deltas,
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its form alone until the core keeps scores")]
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its form alone until the core keeps scores")]
struct Scenario {
    name: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its form alone until the core keeps scores")]
struct Step {
    t_ms: u64,
    r#do: Act,
    score: i64,
    state: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Act {
    Look,
    GossipAccepted,
    ResponseOk,
    GossipRejected,
    BadMessage,
    Timeout,
    RateLimited,
    Dropped,
    FailedToConnect,
    BadAnnouncement,
    BadProtocol,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Healthy,
    Throttled,
    Pruned,
    Banned,
}

pub(super) fn run(text: &[u8]) -> Result<Tally, Unreadable> {
    let file: File = serde_json::from_slice(text)?;
    Ok(Tally { pending: file.scenarios.len(), ..Tally::default() })
}
