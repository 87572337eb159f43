//! Where do two traces part?

use std::io::Read;

use preconf_trace::{Ending, Header, Replay, TraceError};

use super::view::StepView;

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

/// How two traces differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parting {
    /// What differs in what the machines were started with: lines of the first, and of the second.
    pub headers: Vec<(String, String)>,
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
    let mut parting = Parting { headers: differing_lines(left.header(), right.header()), ..Parting::default() };
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

/// Lines in which two headers differ. Both list the same fields, so the lines stand side by side until a list is longer than the other.
fn differing_lines(left: &Header, right: &Header) -> Vec<(String, String)> {
    let (left, right) = (format!("{left:#?}"), format!("{right:#?}"));
    let (mut a, mut b) = (left.lines(), right.lines());
    let mut lines = Vec::new();
    loop {
        match (a.next(), b.next()) {
            (None, None) => return lines,
            (a, b) if a == b => {}
            (a, b) => lines.push((a.unwrap_or_default().trim().to_owned(), b.unwrap_or_default().trim().to_owned())),
        }
    }
}
