//! What was decided, and how often?

use std::collections::BTreeMap;

use preconf_core::{Action, Event, Output, Refusal, Topic, Verdict};

use super::axis::halve;

/// Verdicts on gossip: accept, ignore, reject.
pub(super) type Verdicts = [u64; 3];

/// Which rule refused, what it is called, and where the message came from.
pub(super) type Refused = (&'static str, &'static str, &'static str);

/// Counts. Their keys come from the core's own tables, so their number has a bound.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    open: Verdicts,
    /// In each bin.
    pub(super) verdicts: Vec<Verdicts>,
    /// In all.
    pub(super) total: Verdicts,
    pub(super) refusals: BTreeMap<Refused, u64>,
    /// Every output, by its kind.
    pub(super) outputs: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(super) fn output(&mut self, output: &Output) {
        *self.outputs.entry(kind(output)).or_default() += 1;
        match output {
            Output::Net(Action::ReportGossip { verdict, .. }) => {
                let place = match verdict {
                    Verdict::Accept => 0,
                    Verdict::Ignore => 1,
                    Verdict::Reject => 2,
                };
                self.open[place] += 1;
                self.total[place] += 1;
            }
            Output::App(Event::MessageRefused { topic, refusal, .. }) => *self.refusals.entry(refused(*topic, *refusal)).or_default() += 1,
            _ => {}
        }
    }

    /// The open bin ends.
    pub(super) fn close(&mut self) {
        self.verdicts.push(std::mem::take(&mut self.open));
    }

    /// Every two bins become one.
    pub(super) fn halve(&mut self) {
        halve(&mut self.verdicts, |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
    }
}

fn refused(topic: Option<Topic>, refusal: Refusal) -> Refused {
    let from = match topic {
        Some(Topic::Commitments) => "commitments",
        Some(Topic::TxLists) => "txlists",
        None => "requests",
    };
    let row = refusal.row();
    (row.rule, row.label, from)
}

/// What an output is called on the page.
fn kind(output: &Output) -> &'static str {
    match output {
        Output::Net(action) => match action {
            Action::Publish { .. } => "publications",
            Action::ReportGossip { .. } => "verdicts on gossip",
            Action::SendRequest { .. } => "requests sent",
            Action::Respond { .. } => "requests answered",
            Action::DropRequest { .. } => "requests dropped",
            Action::CancelRequest { .. } => "requests given up",
            Action::Dial { .. } => "dials",
            Action::Disconnect { .. } | Action::CloseConnection { .. } => "connections closed",
            Action::Block { .. } => "peers blocked",
            Action::Unblock { .. } => "peers taken back",
            Action::SetScore { .. } => "scores set",
            Action::LookUp { .. } | Action::Introduce { .. } | Action::AdvertiseAddress { .. } => "orders to discovery",
        },
        Output::Job(_) => "jobs started",
        Output::App(_) => "events told",
        Output::Persist { .. } => "records kept",
    }
}
