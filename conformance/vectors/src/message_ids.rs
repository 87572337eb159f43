//! `message_ids.json`: how gossip messages are named (P4.5, P4.5a).

use preconf_core::{ChainId, MessageId, Topic, message_id};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::report::{Problem, Tally, Unreadable, consistent, same};
use super::text::{Hex, HexArray};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    topic: String,
    data: Hex,
    is_snappy: bool,
    message_id: HexArray<20>,
}

pub(super) fn run(text: &[u8]) -> Result<Tally, Unreadable> {
    let rows: Vec<Row> = serde_json::from_slice(text)?;
    let mut tally = Tally::default();
    tally.check(&rows, |row| &row.name, check);
    Ok(tally)
}

fn check(row: &Row) -> Result<(), Problem> {
    let known = chain_of(&row.topic).and_then(|chain| {
        let topic = Topic::ALL.into_iter().find(|topic| topic.name(chain) == row.topic)?;
        Some((chain, topic))
    });
    let Some((chain, topic)) = known else { return Err(Problem::Contradiction("the topic is none of ours")) };
    let found = message_id(chain, topic, &row.data.0);
    same("message id", &MessageId(row.message_id.0), &found)?;
    // The id does not show which of its three forms was taken, so the two that need no decompression are made again here.
    let is_snappy = found != plain_name(&row.data.0) && found != shapeless_name(&row.topic, &row.data.0);
    same("is a snappy block", &row.is_snappy, &is_snappy)?;
    consistent(!row.data.0.is_empty() || !is_snappy, "no bytes are no snappy block")
}

fn chain_of(topic: &str) -> Option<ChainId> {
    topic.strip_prefix("/taiko/")?.split('/').next()?.parse().ok().map(ChainId)
}

/// P4.5 for what is no snappy block.
pub(super) fn plain_name(data: &[u8]) -> MessageId {
    name(Sha256::new().chain_update([0; 4]).chain_update(data))
}

/// P4.5a.
pub(super) fn shapeless_name(topic: &str, data: &[u8]) -> MessageId {
    name(Sha256::new().chain_update([2, 0, 0, 0]).chain_update(topic).chain_update(data))
}

fn name(hasher: Sha256) -> MessageId {
    let digest = hasher.finalize();
    MessageId(*digest.first_chunk().expect("SHA-256 has 32 bytes"))
}
