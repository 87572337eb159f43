//! `ids.json`: names of topics and protocols (P2.1–P2.4).

use preconf_core::{ChainId, Protocol, Topic, legacy_topics};
use serde::Deserialize;

use super::report::{Problem, Tally, Unreadable, consistent, same};
use super::text::Decimal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    chain_id: Decimal,
    topic_commitments: String,
    topic_raw_txlists: String,
    protocol_get_head: String,
    protocol_get_commitments_by_number: String,
    protocol_get_raw_txlist: String,
    legacy_topics_never_published: Vec<String>,
}

pub(super) fn run(text: &[u8]) -> Result<Tally, Unreadable> {
    let rows: Vec<Row> = serde_json::from_slice(text)?;
    let mut tally = Tally::default();
    tally.check(&rows, |row| &row.topic_commitments, check);
    Ok(tally)
}

fn check(row: &Row) -> Result<(), Problem> {
    let id = u64::try_from(row.chain_id.0).ok();
    consistent(id.is_some(), "a chain id has 64 bits")?;
    let chain = ChainId(id.unwrap_or_default());
    same("topic of commitments", &row.topic_commitments, &Topic::Commitments.name(chain))?; // P2.1
    same("topic of txlists", &row.topic_raw_txlists, &Topic::TxLists.name(chain))?; // P2.2
    same("get_head", &row.protocol_get_head, &Protocol::GetHead.name(chain))?; // P2.3
    same("get_commitments_by_number", &row.protocol_get_commitments_by_number, &Protocol::GetCommitments.name(chain))?;
    same("get_raw_txlist", &row.protocol_get_raw_txlist, &Protocol::GetTxList.name(chain))?;
    same("legacy topics", &row.legacy_topics_never_published[..], &legacy_topics(chain)[..]) // P2.4
}
