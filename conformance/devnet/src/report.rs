//! What came out of a devnet, for people and for machines?

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::conduct::Opinion;

/// What a node is in a devnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// There from the start, and takes turns as preconfer.
    Honest,
    /// Honest, but joins half way.
    Late,
    /// Sends what must be refused.
    Hostile,
}

/// Everything that `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Did every honest node end up with every block, and refuse every hostile message?
    pub(crate) ok: bool,
    /// What the nodes lived on.
    pub(crate) runtime: &'static str,
    /// Seconds from the first node's start to the last check.
    pub(crate) elapsed_s: f64,
    /// Blocks built.
    pub(crate) blocks: u64,
    /// From a commitment's publication to its acceptance by each other node that was there.
    pub(crate) propagation_ms: Propagation,
    /// Every node; a hostile one's verdicts are those that honest nodes gave to its messages.
    pub(crate) nodes: Vec<NodeReport>,
    /// What each node thinks of each hostile peer at the end, and by which rules.
    pub(crate) hostile: Vec<Opinion>,
    /// What else people may want to know, a line each.
    #[serde(skip)]
    pub(crate) notes: Vec<String>,
}

/// Measured times, in milliseconds; null when nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Propagation {
    /// Half took at most this long.
    pub(crate) p50: Option<f64>,
    /// 99 of 100 took at most this long.
    pub(crate) p99: Option<f64>,
}

/// One node at the end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeReport {
    /// Its name in this devnet.
    pub(crate) name: String,
    /// What it is.
    pub(crate) role: Role,
    /// What it lives on.
    pub(crate) runtime: &'static str,
    /// Its peer id.
    pub(crate) peer_id: String,
    /// Number of its head, null without one.
    pub(crate) head_number: Option<u64>,
    /// Its head's hash, null without one.
    pub(crate) head_hash: Option<String>,
    /// Blocks that became ready to execute.
    pub(crate) ready: u64,
    /// Blocks that its host executed.
    pub(crate) executed: u64,
    /// Blocks from the last ready one to the best height that is backed; null before anybody has said where the chain is.
    pub(crate) lag: Option<u64>,
    /// Gossip messages accepted.
    pub(crate) accepted: u64,
    /// Gossip messages ignored.
    pub(crate) ignored: u64,
    /// Gossip messages rejected.
    pub(crate) rejected: u64,
    /// Connected peers.
    pub(crate) peers: usize,
}

impl Propagation {
    /// Nearest-rank percentiles.
    pub(crate) fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let percentile = |p: usize| {
            let rank = (samples.len() * p).div_ceil(100);
            rank.checked_sub(1).map(|index| millis(samples[index]))
        };
        Self { p50: percentile(50), p99: percentile(99) }
    }
}

/// Milliseconds with three digits behind the point: microseconds are what the clock is good for.
fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

/// Seconds with three digits behind the point.
pub(crate) fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e3).round() / 1e3
}

impl NodeReport {
    /// What stands above the rows.
    pub(crate) fn header() -> String {
        format!(
            "{:<10} {:<8} {:<9} {:>6}  {:<12} {:>6} {:>8} {:>5} {:>6} {:>9} {:>8} {:>9}",
            "node", "role", "runtime", "head", "hash", "ready", "executed", "lag", "peers", "accepted", "ignored", "rejected"
        )
    }

    /// One line of a table.
    pub(crate) fn row(&self) -> String {
        let number = self.head_number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let hash = self.head_hash.as_deref().map_or("-", |hash| &hash[..hash.len().min(10)]);
        let role = format!("{:?}", self.role).to_lowercase();
        let lag = self.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        format!(
            "{:<10} {role:<8} {:<9} {number:>6}  {hash:<12} {:>6} {:>8} {lag:>5} {:>6} {:>9} {:>8} {:>9}",
            self.name, self.runtime, self.ready, self.executed, self.peers, self.accepted, self.ignored, self.rejected
        )
    }
}

impl Report {
    /// The summary for people.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").expect("writing to a string never fails");
        line(format_args!("{}", NodeReport::header()));
        for node in &self.nodes {
            line(format_args!("{}", node.row()));
        }
        self.notes.iter().for_each(|note| line(format_args!("{note}")));
        self.hostile.iter().for_each(|opinion| line(format_args!("{}", opinion.text())));
        let ms = |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), |ms| format!("{ms:.3} ms"));
        let Propagation { p50, p99 } = self.propagation_ms;
        line(format_args!(
            "{} blocks in {:.1} s; propagation from publish to accept: p50 {}, p99 {}",
            self.blocks,
            self.elapsed_s,
            ms(p50),
            ms(p99)
        ));
        line(format_args!("{}", if self.ok { "ok" } else { "FAILED" }));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn report() -> Report {
        let node = NodeReport {
            name: "node-0".to_owned(),
            role: Role::Hostile,
            runtime: "tokio",
            peer_id: "16U".to_owned(),
            head_number: None,
            head_hash: None,
            ready: 0,
            executed: 0,
            lag: Some(0),
            accepted: 1,
            ignored: 2,
            rejected: 3,
            peers: 4,
        };
        let propagation_ms = Propagation { p50: Some(0.5), p99: None };
        let notes = vec!["a note".to_owned()];
        Report { ok: false, runtime: "tokio", elapsed_s: 1.5, blocks: 20, propagation_ms, nodes: vec![node], hostile: Vec::new(), notes }
    }

    #[test]
    fn the_json_form_has_exactly_the_documented_fields() {
        let Value::Object(json) = serde_json::to_value(report()).expect("plain data") else { panic!("not an object") };
        let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(json.keys().cloned().collect::<Vec<_>>().join(" "), "blocks elapsed_s hostile nodes ok propagation_ms runtime");
        assert_eq!(keys(&json["propagation_ms"]), "p50 p99");
        assert_eq!(
            keys(&json["nodes"][0]),
            "accepted executed head_hash head_number ignored lag name peer_id peers ready rejected role runtime"
        );
        assert_eq!(json["nodes"][0]["role"], "hostile");
    }

    #[test]
    fn the_summary_shows_every_node_and_the_verdict() {
        let text = report().text();
        assert!(
            text.contains("node-0")
                && text.contains("\na note\n")
                && text.contains("p50 0.500 ms, p99 not measured")
                && text.ends_with("FAILED\n"),
            "{text}"
        );
    }

    #[test]
    fn percentiles_are_measured_values() {
        let samples = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(Propagation::of(samples), Propagation { p50: Some(100.0), p99: Some(198.0) });
        assert_eq!(Propagation::of(vec![Duration::from_micros(1_500)]), Propagation { p50: Some(1.5), p99: Some(1.5) });
        assert_eq!(Propagation::of(Vec::new()), Propagation { p50: None, p99: None });
    }
}
