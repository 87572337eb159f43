//! What do the nodes think of a hostile peer at the end, and by which rules?
//!
//! Each node that remembers a hostile peer explains its score (P7.9): lines that sum to it, each with the rule under which it changed.

use preconf_core::{Change, PeerId, Reason, Standing};
use preconf_node::HandleError;
use serde::Serialize;

use super::hostile::Hostile;
use super::node::Node;

/// One node's opinion of one hostile peer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Opinion {
    /// The hostile peer's name.
    pub(crate) hostile: String,
    /// The node's name.
    pub(crate) node: String,
    /// How the node deals with it.
    pub(crate) standing: &'static str,
    /// Its score in millionths of a point.
    pub(crate) score_millionths: i64,
    /// How that came about.
    pub(crate) why: Vec<Line>,
    #[serde(skip)]
    pub(crate) is_out: bool,
}

/// Changes of the same kind under the same rule that follow each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// The rule.
    pub(crate) rule: &'static str,
    /// What happened.
    pub(crate) what: &'static str,
    /// How often.
    pub(crate) times: u32,
    /// By how much the score changed, in millionths of a point.
    pub(crate) delta_millionths: i64,
}

impl Opinion {
    /// What every node thinks of a hostile peer; nodes that never met it say nothing.
    pub(crate) async fn all(hostile: &Hostile, nodes: &[Node]) -> Result<Vec<Self>, HandleError> {
        let mut opinions = Vec::new();
        for node in nodes {
            let changes = node.handle.explain(hostile.peer).await?;
            if !changes.is_empty() {
                let standing = standing(node, hostile.peer).await?;
                opinions.push(Self::of(hostile.name.clone(), node.name.clone(), standing, &changes));
            }
        }
        Ok(opinions)
    }

    fn of(hostile: String, node: String, standing: Standing, changes: &[Change]) -> Self {
        let score_millionths = changes.last().map_or(0, |change| change.score);
        let is_out = standing >= Standing::Pruned;
        Self { hostile, node, standing: standing.label(), score_millionths, why: lines(changes), is_out }
    }

    /// One line for people.
    pub(crate) fn text(&self) -> String {
        let why: Vec<String> = self.why.iter().map(Line::text).collect();
        let Self { hostile, node, standing, score_millionths, .. } = self;
        format!("{hostile} is {standing} by {node} at {}: {}", points(*score_millionths), why.join(", "))
    }
}

impl Line {
    fn text(&self) -> String {
        let Self { rule, what, times, delta_millionths } = self;
        format!("{rule} {what} x{times} {}", points(*delta_millionths))
    }
}

async fn standing(node: &Node, peer: PeerId) -> Result<Standing, HandleError> {
    if let Some(info) = node.handle.peers().await?.iter().find(|info| info.peer == peer) {
        return Ok(info.standing);
    }
    let is_banned = node.handle.lists().await?.banned.iter().any(|(banned, _)| *banned == peer);
    Ok(if is_banned { Standing::Banned } else { Standing::Healthy })
}

fn lines(changes: &[Change]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for change in changes {
        let what = change.reason.label();
        let times = if let Reason::Decay { ticks } = change.reason { ticks } else { 1 };
        match lines.last_mut().filter(|line| (line.rule, line.what) == (change.rule, what)) {
            Some(line) => {
                line.times = line.times.saturating_add(times);
                line.delta_millionths += change.delta;
            }
            None => lines.push(Line { rule: change.rule, what, times, delta_millionths: change.delta }),
        }
    }
    lines
}

/// Millionths as points, to the last digit that counts.
fn points(millionths: i64) -> String {
    let sign = if millionths < 0 { '-' } else { '+' };
    let text = format!("{sign}{}.{:06}", millionths.unsigned_abs() / 1_000_000, millionths.unsigned_abs() % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use preconf_core::{Cause, Conduct, Time};

    #[test]
    fn changes_under_one_rule_become_one_line_and_keep_their_sum() {
        let change = |rule, reason, delta, score| Change { at: Time(0), rule, reason, cause: Cause::Neither, delta, score };
        let rejected = Reason::Conduct(Conduct::GossipRejected);
        let changes = [
            change("C1", rejected, -1_000_000, -1_000_000),
            change("C1", rejected, -1_000_000, -2_000_000),
            change("T4", rejected, -1_000_000, -3_000_000),
            change("P7.3", Reason::Decay { ticks: 1 }, 300_000, -2_700_000),
        ];
        let opinion = Opinion::of("hostile-0".to_owned(), "node-1".to_owned(), Standing::Pruned, &changes);
        let text = "hostile-0 is pruned by node-1 at -2.7: C1 gossip_rejected x2 -2, T4 gossip_rejected x1 -1, P7.3 decay x1 +0.3";
        assert_eq!(opinion.text(), text);
        assert_eq!(opinion.why.iter().map(|line| line.delta_millionths).sum::<i64>(), opinion.score_millionths);
    }
}
