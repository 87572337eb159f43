//! What happened to the network, and what did the nodes make of it?
//!
//! *Marks* come from outside: faults, their ends, violations. They stand on every chart. *Incidents* are the rare events that machines tell;
//! the same one told by many nodes is one line with a count.

use std::collections::{BTreeMap, BTreeSet};

use preconf_core::Time;

/// Marks that are kept, first come. Ours: more than a page can show apart; further ones are counted.
const MAX_MARKS: usize = 256;
/// Incidents of one kind that are kept, first come. Ours: so that a flood of one kind hides no other; further ones are counted.
const MAX_INCIDENTS_PER_KIND: usize = 96;
/// Longest text, in characters; the rest is cut. Ours: a line or two of a page.
const MAX_TEXT: usize = 200;
/// Longest list of nodes, in characters; beyond it their number is said. Ours: half a line.
const MAX_LIST: usize = 60;

/// What kind of mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// Something goes wrong from here on.
    Fault,
    /// It is over.
    Relief,
    /// Something that is neither good nor bad.
    Note,
    /// A rule of the run does not hold.
    Violation,
}

impl MarkKind {
    /// Its name in the page's data.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Relief => "relief",
            Self::Note => "note",
            Self::Violation => "violation",
        }
    }
}

/// Something that happened to the network.
///
/// ```
/// use preconf_report::Mark;
/// let cut = Mark::fault("cut in two").at_nodes(0..5);
/// let healed = Mark::relief("healed", "cut in two");
/// # let _ = (cut, healed);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    kind: MarkKind,
    what: String,
    ends: Option<String>,
    nodes: BTreeSet<usize>,
}

impl Mark {
    fn new(kind: MarkKind, what: impl Into<String>) -> Self {
        Self { kind, what: clip(&what.into()), ends: None, nodes: BTreeSet::new() }
    }

    /// Something goes wrong.
    pub fn fault(what: impl Into<String>) -> Self {
        Self::new(MarkKind::Fault, what)
    }

    /// A fault is over: the last one of this name that one of the same nodes had.
    pub fn relief(what: impl Into<String>, fault: &str) -> Self {
        Self { ends: Some(clip(fault)), ..Self::new(MarkKind::Relief, what) }
    }

    /// Something that is worth a line.
    pub fn note(what: impl Into<String>) -> Self {
        Self::new(MarkKind::Note, what)
    }

    /// A rule of the run does not hold.
    pub fn violation(what: impl Into<String>) -> Self {
        Self::new(MarkKind::Violation, what)
    }

    /// Whom it happens to; nobody named means all.
    #[must_use]
    pub fn at_nodes(mut self, nodes: impl IntoIterator<Item = usize>) -> Self {
        self.nodes.extend(nodes);
        self
    }

    /// Is there a node that both happen to?
    fn meets(&self, other: &Self) -> bool {
        self.nodes.is_empty() || other.nodes.is_empty() || !self.nodes.is_disjoint(&other.nodes)
    }
}

/// A mark in its place. The same thing that happens to many nodes within one bin is one mark.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) at: Time,
    pub(super) until: Option<Time>,
    /// It ends a mark that stands already, and says no more than that.
    pub(super) ends: bool,
    pub(super) mark: Mark,
}

impl Placed {
    pub(super) fn kind(&self) -> MarkKind {
        self.mark.kind
    }

    pub(super) fn what(&self) -> &str {
        &self.mark.what
    }

    /// Whom it happened to: `nodes 0–3, 7`, or nothing for all.
    pub(super) fn nodes(&self) -> String {
        let list = ranges(&self.mark.nodes);
        match (self.mark.nodes.len(), list.len()) {
            (0, _) => list,
            (1, _) => format!("node {list}"),
            (_, 0..MAX_LIST) => format!("nodes {list}"),
            (count, _) => format!("{count} nodes"),
        }
    }
}

/// An event that one or more nodes told.
#[derive(Clone, Debug)]
pub(super) struct Incident {
    pub(super) first: Time,
    pub(super) last: Time,
    pub(super) count: u64,
    pub(super) nodes: BTreeSet<usize>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    pub(super) placed: Vec<Placed>,
    /// By kind and text.
    pub(super) incidents: BTreeMap<&'static str, BTreeMap<String, Incident>>,
    /// Marks and incidents that found no room.
    pub(super) left_out: u64,
}

impl Marks {
    pub(super) fn mark(&mut self, at: Time, mark: Mark, near: u64) {
        let mut ended = false;
        if let Some(ends) = &mark.ends
            && let Some(fault) = self.placed.iter_mut().rev().find(|placed| placed.mark.what == *ends && placed.mark.meets(&mark))
        {
            (fault.until, ended) = (Some(at), true); // for whom it lasted longest
        }
        let mut lately = self.placed.iter_mut().rev().take_while(|placed| at.0.saturating_sub(placed.at.0) < near);
        if let Some(placed) = lately.find(|placed| placed.mark.what == mark.what && placed.mark.kind == mark.kind) {
            placed.mark.nodes.extend(mark.nodes);
        } else if self.placed.len() < MAX_MARKS {
            self.placed.push(Placed { at, until: None, ends: ended, mark });
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn incident(&mut self, at: Time, node: usize, kind: &'static str, text: &str) {
        let of_kind = self.incidents.entry(kind).or_default();
        let text = clip(text);
        if of_kind.len() == MAX_INCIDENTS_PER_KIND && !of_kind.contains_key(&text) {
            self.left_out += 1;
            return;
        }
        let incident = of_kind.entry(text).or_insert(Incident { first: at, last: at, count: 0, nodes: BTreeSet::new() });
        incident.last = at;
        incident.count += 1;
        incident.nodes.insert(node);
    }
}

/// Numbers as `0–3, 7`.
fn ranges(numbers: &BTreeSet<usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let text = |(first, last): &(usize, usize)| if first == last { first.to_string() } else { format!("{first}–{last}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_neighbours_as_a_range() {
        assert_eq!(ranges(&BTreeSet::from([0, 1, 2, 3, 7, 9, 10])), "0–3, 7, 9–10");
        assert_eq!(ranges(&BTreeSet::new()), "");
    }

    #[test]
    fn a_restart_of_many_nodes_at_once_is_one_mark() {
        let mut marks = Marks::default();
        (0..500).for_each(|node| marks.mark(Time(node as u64), Mark::fault("restart").at_nodes([node]), 1_000));
        marks.mark(Time(9_000), Mark::fault("restart").at_nodes([3]), 1_000);
        let seen: Vec<_> = marks.placed.iter().map(|placed| (placed.at, placed.nodes())).collect();
        assert_eq!(seen, [(Time(0), "nodes 0–499".to_owned()), (Time(9_000), "node 3".to_owned())]);
    }

    #[test]
    fn a_long_list_of_nodes_is_said_as_a_number() {
        let mut marks = Marks::default();
        marks.mark(Time(0), Mark::fault("restart").at_nodes((0..1_000).step_by(3)), 1);
        assert_eq!(marks.placed[0].nodes(), "334 nodes");
    }

    #[test]
    fn a_relief_ends_the_last_fault_of_its_name() {
        let mut marks = Marks::default();
        for at in [10, 30] {
            marks.mark(Time(at), Mark::fault("cut"), 1);
            marks.mark(Time(at + 5), Mark::relief("healed", "cut"), 1);
        }
        let ends: Vec<_> = marks.placed.iter().filter(|placed| placed.kind() == MarkKind::Fault).map(|placed| placed.until).collect();
        assert_eq!(ends, [Some(Time(15)), Some(Time(35))]);
    }

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let mut marks = Marks::default();
        (0..10_000).for_each(|k| marks.incident(Time(k), 0, "standing", &format!("peer {k} is banned")));
        marks.incident(Time(10_000), 0, "evidence", "a fault is proven");
        assert_eq!(marks.incidents["standing"].len(), MAX_INCIDENTS_PER_KIND);
        assert_eq!(marks.incidents["evidence"].len(), 1);
        assert_eq!(marks.left_out, 10_000 - MAX_INCIDENTS_PER_KIND as u64);
    }
}
