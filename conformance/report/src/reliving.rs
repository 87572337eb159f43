//! How does a trace become a timeline?

use preconf_core::{Now, Time, Update};
use preconf_trace::{Call, Header, Replayed};

use super::marks::Mark;
use super::timeline::Timeline;

/// How far the wall clock may run from the monotonic one between two steps before it counts as set, in microseconds. Ours: far beyond what
/// steering a clock does.
const CLOCK_SET: u64 = 1_000_000;

/// Tells a timeline what a trace holds, step by step as it is relived. Times count from the start of the trace.
///
/// ```
/// use preconf_core::{ChainId, Config, Now};
/// use preconf_replay::relive;
/// use preconf_report::{Reliving, Report, RunKind, Summary};
/// use preconf_trace::{Recorder, Replay, Tape};
///
/// let mut trace = Vec::new();
/// let tape = Tape { to: &mut trace, max_bytes: 1 << 20 };
/// Recorder::start(Config::new(ChainId(1)), [7; 32], Now::default(), Some(tape))?.handle_timeout(Now::default());
///
/// let mut replay = Replay::open(&trace[..])?;
/// let mut reliving = Reliving::of(replay.header());
/// let relived = relive(&mut replay, None, |step, _| reliving.step(step));
/// let summary = Summary { kind: RunKind::Replay, steps: relived.steps, virtual_time: reliving.span(), ..Summary::default() };
/// assert!(Report::new(summary, reliving.into_timeline()).html().contains("every step matches"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Reliving {
    timeline: Timeline,
    node: usize,
    start: Now,
    last: Now,
}

impl Reliving {
    /// Begins with a trace's header.
    pub fn of(header: &Header) -> Self {
        let mut timeline = Timeline::default();
        let node = timeline.add_node("this node");
        timeline.started(Time::ZERO, node);
        Self { timeline, node, start: header.start, last: header.start }
    }

    /// One step, with what the machine says now. One that differs from what was recorded is a violation.
    pub fn step(&mut self, relived: &Replayed) {
        let now = relived.step.now;
        let at = Time::ZERO.after(now.mono.since(self.start.mono));
        self.clock(at, now);
        if let Call::Update(update) = &relived.step.call {
            self.update(at, update);
        }
        for output in &relived.outputs {
            self.timeline.output(at, self.node, output);
        }
        if !relived.matches() {
            self.timeline.mark(at, Mark::violation(format!("step {} differs", relived.step.number)));
        }
    }

    /// From the start of the trace to the last step.
    pub fn span(&self) -> std::time::Duration {
        self.last.mono.since(self.start.mono)
    }

    /// What was relived.
    pub fn into_timeline(self) -> Timeline {
        self.timeline
    }

    fn clock(&mut self, at: Time, now: Now) {
        let expected = self.last.after(now.mono.since(self.last.mono)).unix.0;
        let (ahead, behind) = (now.unix.0.saturating_sub(expected), expected.saturating_sub(now.unix.0));
        let way = if ahead > behind { "forward" } else { "back" };
        if ahead.max(behind) >= CLOCK_SET {
            self.timeline.mark(at, Mark::fault(format!("the wall clock is set {way} by {} s", ahead.max(behind) / 1_000_000)));
        }
        self.last = now;
    }

    /// What the application decides and the charts show the effect of. Commands show by what comes of them.
    fn update(&mut self, at: Time, update: &Update) {
        let (timeline, node) = (&mut self.timeline, self.node);
        let note = match update {
            Update::MoveSyncTip(tip) => {
                timeline.settled(at, node, tip.block_number);
                "the sync tip moves".to_owned()
            }
            Update::Schedule(windows) => format!("a schedule of {} windows", windows.len()),
            Update::Restore(records) => format!("{} records of an earlier life", records.len()),
            Update::OverrideSyncing { window_end } => {
                format!("the window until {window_end} is published in whatever our key has signed elsewhere, by command")
            }
            Update::Disconnect { peer } => format!("peer {peer} is disconnected by command"),
            Update::BlockPeer { peer } => format!("peer {peer} is blocked by command"),
            Update::UnblockPeer { peer } => format!("peer {peer} is unblocked by command"),
            Update::BlockAddress { address } => format!("address {address} is blocked by command"),
            Update::UnblockAddress { address } => format!("address {address} is unblocked by command"),
            Update::BlockSubnet { subnet } => format!("subnet {subnet} is blocked by command"),
            Update::UnblockSubnet { subnet } => format!("subnet {subnet} is unblocked by command"),
            Update::Trust { peer } => format!("peer {peer} is trusted from here on"),
            Update::Distrust { peer } => format!("peer {peer} is no longer trusted"),
            Update::LiftBan { peer } => format!("the ban of peer {peer} is lifted"),
            Update::MarkFailed { block_number } => format!("block {block_number} could not be executed"),
            Update::Protect { .. } | Update::Unprotect { .. } | Update::MarkExecuted { .. } => return,
        };
        timeline.mark(at, Mark::note(note));
    }
}
