//! What does the page's script draw?
//!
//! The timeline as plain numbers, in the bins that it has. Times are microseconds, ages milliseconds, scores thousandths of a point.

use serde::Serialize;

use super::blocks::{DOWN, Range};
use super::marks::Placed;
use super::scores::{NONE, Side, Subject};
use super::timeline::Timeline;
use preconf_sim::Spread;

/// Cells of the largest table. Ours: a thousand nodes in 240 bins, about a megabyte of text; where there are more, bins are merged.
const MAX_CELLS: usize = 1 << 18;
/// Peers whose scores are drawn though they never fell below 0. Ours: as many as the page draws as lines.
const ENOUGH_SCORES: usize = 12;
/// Most peers whose scores are drawn. Ours: the rows of the plot that can be told apart.
const MAX_SCORES: usize = 200;

#[derive(Debug, Serialize)]
pub(super) struct Data {
    width_us: u64,
    bins: usize,
    end_us: u64,
    marks: Vec<MarkData>,
    height: HeightData,
    peers: RangeData,
    behind: Vec<BehindData>,
    curves: Vec<Curve>,
    scores: Vec<ScoreData>,
    verdicts: VerdictData,
}

#[derive(Debug, Serialize)]
struct MarkData {
    /// As in the list above the plots; `None` for what only ends another.
    number: Option<usize>,
    at_us: u64,
    until_us: Option<u64>,
    kind: &'static str,
    what: String,
}

#[derive(Debug, Default, Serialize)]
struct HeightData {
    best: Vec<u64>,
    ready: RangeData,
}

/// Of the nodes that are up.
#[derive(Debug, Default, Serialize)]
struct RangeData {
    most: Vec<u64>,
    median: Vec<u64>,
    least: Vec<u64>,
}

impl RangeData {
    fn push(&mut self, [most, median, least]: Range) {
        self.most.push(most);
        self.median.push(median);
        self.least.push(least);
    }
}

#[derive(Debug, Serialize)]
struct BehindData {
    name: String,
    /// `None` while it was down.
    values: Vec<Option<u32>>,
}

#[derive(Debug, Serialize)]
struct Curve {
    id: &'static str,
    name: &'static str,
    points: Vec<(u64, u64)>,
}

#[derive(Debug, Serialize)]
struct ScoreData {
    name: String,
    side: &'static str,
    lowest: Vec<Option<i32>>,
}

#[derive(Debug, Default, Serialize)]
struct VerdictData {
    accept: Vec<u64>,
    ignore: Vec<u64>,
    reject: Vec<u64>,
}

impl Data {
    /// Merges bins where a table would grow too large, and copies what is drawn.
    pub(super) fn of(timeline: &Timeline, end_us: u64) -> Self {
        let mut timeline = timeline.clone();
        while timeline.blocks.rows.len() * timeline.axis.closed > MAX_CELLS {
            timeline.halve();
        }
        let Timeline { axis, blocks, scores, tally, marks, .. } = &timeline;
        let (mut height, mut peers) = (HeightData::default(), RangeData::default());
        for bin in &blocks.heights {
            height.best.push(bin.best);
            height.ready.push(bin.ready);
            peers.push(bin.peers);
        }
        let row = |row: &super::blocks::Row| BehindData {
            name: row.name.clone(),
            values: row.behind.iter().map(|ms| (*ms != DOWN).then_some(*ms)).collect(),
        };
        let curve = |id, name, spread: &Spread| Curve { id, name, points: spread.curve() };
        let mut verdicts = VerdictData::default();
        for [accept, ignore, reject] in &tally.verdicts {
            verdicts.accept.push(*accept);
            verdicts.ignore.push(*ignore);
            verdicts.reject.push(*reject);
        }
        Self {
            width_us: axis.width,
            bins: axis.closed,
            end_us,
            marks: numbered(&marks.placed),
            height,
            peers,
            behind: blocks.rows.iter().map(row).collect(),
            curves: vec![
                curve("accepted", "accepted", &blocks.deliveries.spread),
                curve("ready", "ready", &blocks.to_ready),
                curve("waited", "wait for ready", &blocks.waited),
            ],
            scores: drawn_scores(&scores.subjects).into_iter().map(score).collect(),
            verdicts,
        }
    }
}

/// Peers that had a score, with the lowest that it ever was, worst first.
pub(super) fn worst_first(subjects: &[Subject]) -> Vec<(i32, &Subject)> {
    let lowest = |subject: &Subject| subject.lowest.iter().copied().filter(|score| *score != NONE).min();
    let mut ranked: Vec<_> = subjects.iter().filter_map(|subject| Some((lowest(subject)?, subject))).collect();
    ranked.sort_by_key(|(lowest, _)| *lowest);
    ranked
}

/// Those whose scores are drawn: all that fell below 0, and a few of the others.
pub(super) fn drawn_scores(subjects: &[Subject]) -> Vec<&Subject> {
    let ranked = worst_first(subjects);
    let fell = ranked.iter().take_while(|(lowest, _)| *lowest < 0).count();
    ranked.into_iter().take(fell.clamp(ENOUGH_SCORES, MAX_SCORES)).map(|(_, subject)| subject).collect()
}

fn numbered(placed: &[Placed]) -> Vec<MarkData> {
    let mut last = 0;
    let mark = |placed: &Placed| {
        last += usize::from(!placed.ends);
        MarkData {
            number: (!placed.ends).then_some(last),
            at_us: placed.at.0,
            until_us: placed.until.map(|until| until.0),
            kind: placed.kind().label(),
            what: placed.what().to_owned(),
        }
    };
    placed.iter().map(mark).collect()
}

fn score(subject: &Subject) -> ScoreData {
    let side = match subject.side {
        Side::Honest => "honest",
        Side::Hostile => "hostile",
        Side::Unknown => "unknown",
    };
    let lowest = subject.lowest.iter().map(|score| (*score != NONE).then_some(*score)).collect();
    ScoreData { name: subject.name.clone(), side, lowest }
}
