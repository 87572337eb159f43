//! `rate_limits.json`: requests of one peer over time (P6.6).

use std::time::Duration;

use preconf_core::{LimitKind, Limiter, RateLimit, Time};
use serde::Deserialize;

use super::report::{Problem, Tally, Unreadable, consistent, same};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    limit: u32,
    window_ms: u64,
    times_ms: Vec<u64>,
    token_bucket: Vec<bool>,
    fixed_window: Vec<bool>,
}

pub(super) fn run(text: &[u8]) -> Result<Tally, Unreadable> {
    let rows: Vec<Row> = serde_json::from_slice(text)?;
    let mut tally = Tally::default();
    tally.check(&rows, |row| &row.name, check);
    Ok(tally)
}

fn check(row: &Row) -> Result<(), Problem> {
    consistent(!row.times_ms.is_empty(), "nobody asks for anything")?;
    consistent(row.times_ms.is_sorted(), "time goes back")?;
    same("token bucket", &row.token_bucket, &admitted(row, LimitKind::TokenBucket)?)?;
    same("fixed window", &row.fixed_window, &admitted(row, LimitKind::FixedWindow)?)
}

fn admitted(row: &Row, kind: LimitKind) -> Result<Vec<bool>, Problem> {
    let rule = RateLimit { limit: row.limit, window: Duration::from_millis(row.window_ms), kind };
    consistent(rule.check("limit").is_ok(), "a limit that no configuration may have")?;
    let mut limiter = Limiter::new(rule);
    let mut admitted = Vec::with_capacity(row.times_ms.len());
    for now in row.times_ms.iter().map(|ms| Time::from_millis(*ms)) {
        // Who keeps to the limit asks first when there is room (P6.7), and must be told the truth.
        let room_now = limiter.next_admit_at(now) == now;
        admitted.push(limiter.admit(now));
        same("room was foretold", &admitted.last().copied(), &Some(room_now))?;
    }
    Ok(admitted)
}
