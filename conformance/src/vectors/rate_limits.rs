//! `rate_limits.json`: requests of one peer over time (P6.6). Read strictly and counted as pending: the core limits no rates yet.

use serde::Deserialize;

use super::report::{Tally, Unreadable};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its form alone until the core limits rates")]
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
    Ok(Tally::pending(rows.len()))
}
