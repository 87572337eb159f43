//! Where do two traces part?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;

use preconf_trace::{Ending, Header, Replay, TraceError};

use super::view::StepView;
use super::words;

/// What is the first thing in which two traces differ?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// One has a step more.
    Length,
    /// The clocks.
    Time,
    /// What the machines were told.
    Told,
    /// What they said.
    Said,
    /// Only how they end: one was closed, the other is cut or was full.
    Ending,
}

impl Why {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Length => "one of them ends",
            Self::Time => "their clocks differ",
            Self::Told => "their machines were told different things",
            Self::Said => "their machines said different things",
            Self::Ending => "they end differently",
        }
    }
}

/// A value that two machines were not both started with.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Started {
    /// Its name; a key of the configuration, perhaps within another.
    pub name: String,
    /// What it is for the first.
    pub left: String,
    /// What it is for the second.
    pub right: String,
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}  <>  {}", self.name, self.left, self.right)
    }
}

/// How two traces differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parting {
    /// What differs in what the machines were started with.
    pub headers: Vec<Started>,
    /// Steps that both have in common, from the first on.
    pub common: u64,
    /// What differs after them; `None` where nothing does.
    pub why: Option<Why>,
    /// That step of the first trace, and what its machine says now.
    pub left: Option<StepView>,
    /// That step of the second one.
    pub right: Option<StepView>,
    /// How each ends, where its end was reached.
    pub endings: [Option<Ending>; 2],
}

impl Parting {
    /// Are both traces the same?
    pub fn is_none(&self) -> bool {
        self.headers.is_empty() && self.why.is_none()
    }
}

/// Relives two traces side by side, up to the first step in which their records differ.
///
/// # Errors
/// The first trace's error, or the second one's, told apart by the index.
pub fn part<A: Read, B: Read>(left: &mut Replay<A>, right: &mut Replay<B>) -> Result<Parting, (usize, TraceError)> {
    let mut parting = Parting { headers: differing(left.header(), right.header()), ..Parting::default() };
    loop {
        let (a, b) = (left.step().map_err(|error| (0, error))?, right.step().map_err(|error| (1, error))?);
        let why = match (&a, &b) {
            (None, None) => (kind(left.ending()) != kind(right.ending())).then_some(Why::Ending),
            (None, Some(_)) | (Some(_), None) => Some(Why::Length),
            (Some(a), Some(b)) if a.step.now != b.step.now => Some(Why::Time),
            (Some(a), Some(b)) if a.step.call != b.step.call => Some(Why::Told),
            (Some(a), Some(b)) if a.step.mark != b.step.mark => Some(Why::Said),
            (Some(_), Some(_)) => {
                parting.common += 1;
                continue;
            }
        };
        parting.why = why;
        parting.endings = [left.ending(), right.ending()];
        if why.is_some() {
            parting.left = a.map(|step| StepView::of(&step, left.core()));
            parting.right = b.map(|step| StepView::of(&step, right.core()));
        }
        return Ok(parting);
    }
}

/// How a trace ends, wherever that is: the same steps may lie at other places, behind a longer header.
fn kind(ending: Option<Ending>) -> Option<std::mem::Discriminant<Ending>> {
    ending.as_ref().map(std::mem::discriminant)
}

/// What differs in what two machines were started with, by name.
fn differing(left: &Header, right: &Header) -> Vec<Started> {
    let (left, right) = (fields(left), fields(right));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let value = |fields: &BTreeMap<String, String>, name| fields.get(name).cloned().unwrap_or_else(|| "nothing".to_owned());
    let pairs = names.into_iter().map(|name| (name.clone(), value(&left, name), value(&right, name)));
    pairs.filter(|(_, left, right)| left != right).map(|(name, left, right)| Started { name, left, right }).collect()
}

/// A header's values, each under its name; those of the configuration as their keys nest.
fn fields(header: &Header) -> BTreeMap<String, String> {
    let Header { build, protocol, config, host_rules, seed, start } = header;
    let mut fields = BTreeMap::from([
        ("build".to_owned(), build.clone()),
        ("protocol".to_owned(), protocol.to_string()),
        ("host_rules".to_owned(), host_rules.join(", ")),
        ("seed".to_owned(), hex::encode(seed)),
        ("start".to_owned(), words::now(*start)),
    ]);
    // Its `Debug` knows all keys, also those that are yet to come: one line a value, deeper by four blanks within another.
    let mut above: Vec<String> = Vec::new();
    for line in format!("{config:#?}").lines() {
        let depth = (line.len() - line.trim_start().len()) / 4;
        above.resize(depth, String::new());
        let text = line.trim().trim_end_matches(',');
        if text.ends_with(['{', '(', '[']) {
            above.push(text.split_once(':').map(|(name, _)| name.to_owned()).unwrap_or_default());
        } else if !matches!(text, "}" | ")" | "]") {
            let (name, value) = text.split_once(": ").map_or((None, text), |(name, value)| (Some(name), value));
            let names = above.iter().map(String::as_str).chain(name).filter(|name| !name.is_empty());
            let all = fields.entry(names.collect::<Vec<_>>().join(".")).or_default();
            let comma = if all.is_empty() { "" } else { ", " };
            all.push_str(comma);
            all.push_str(value);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use preconf_core::{ChainId, Config, ConnectionLimits, Now};

    use super::*;

    #[test]
    fn what_two_machines_were_started_with_is_told_by_name() {
        let config = Config::new(ChainId(1));
        let connections = ConnectionLimits { target_peers: 7, ..config.connections };
        let static_peers = vec!["/ip4/10.0.0.1/tcp/1/p2p/a".to_owned(), "/dns4/b/tcp/2/p2p/b".to_owned()];
        let other = Config { connections, static_peers, request_timeout: Duration::from_secs(3), ..config.clone() };
        let differing = differing(&Header::new(&config, [1; 32], Now::default()), &Header::new(&other, [2; 32], Now::default()));
        let told: Vec<_> = differing.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "connections.target_peers: 200  <>  7".to_owned(),
                "request_timeout: 10s  <>  3s".to_owned(),
                format!("seed: {}  <>  {}", "01".repeat(32), "02".repeat(32)),
                "static_peers: []  <>  \"/ip4/10.0.0.1/tcp/1/p2p/a\", \"/dns4/b/tcp/2/p2p/b\"".to_owned(),
            ]
        );
    }
}
