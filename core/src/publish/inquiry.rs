//! What do peers hold of a window in which we may have published before (P5.9b)?
//!
//! ```text
//! first publication in a window that our records do not reach back to --> peers are asked --three answers, or 2 s--> it is judged
//!                                                   more in that window --> wait behind it, in their order
//! ```
//!
//! A preconfer that comes back on a new disk does not know what it said. What peers hold of the window is judged like any page, before what is
//! to be published: if our own key has spoken there, it shows. Only signed commitments count; a peer that claims much and shows nothing costs
//! two seconds, once a window.

use std::time::Duration;

use alloy_primitives::U256;

use crate::cx::Cx;
use crate::id::{CommandId, PeerId};
use crate::request::wanted::{Purpose, Wanted, Whom};
use crate::time::Timer;
use crate::wire::topics::Protocol;
use crate::wire::v1::{GetCommitmentsRequest, SignedCommitment};

/// How many answers are enough. Source: P5.9b.
const ANSWERS: usize = 3;
/// How long they are waited for. Source: P5.9b.
const PATIENCE: Duration = Duration::from_secs(2);
/// Commitments that a peer is asked for at once; whoever has as many is asked for more. Ours: our own words of a window begin where we would
/// begin anew.
const ITEMS: u32 = 64;
/// The most commitments of answers that are asked for at one time.
pub(crate) const MAX_INQUIRY_ITEMS: usize = ANSWERS * ITEMS as usize;

/// A window that is being asked about.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Open {
    window_end: u64,
    /// The first block that is asked for next: behind the last full page.
    start: u64,
    /// Who was asked; whoever did not answer stays in it, so that nobody is asked twice for one page.
    asked: Vec<PeerId>,
    under_way: usize,
    answers: usize,
}

/// A commitment of ours that waits until peers have said what they hold of its window.
#[derive(Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Waiting {
    pub(crate) window_end: u64,
    /// The first block that they are asked for.
    pub(crate) start: u64,
    pub(crate) command: CommandId,
    pub(crate) signed: SignedCommitment,
    /// Is the record of it on disk (P5.9a)?
    pub(crate) is_recorded: bool,
}

/// What waits, and the window that is asked about.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Inquiry {
    open: Option<Open>,
    /// The outbox bounds how many there are.
    waiting: Vec<Waiting>,
    /// The window that was asked about last.
    done: Option<u64>,
}

impl Inquiry {
    /// Has this window been asked about?
    pub(crate) fn is_done(&self, window_end: u64) -> bool {
        self.done == Some(window_end)
    }

    /// Puts what is to be published aside until peers have answered. One window is asked about at a time.
    pub(crate) fn wait(&mut self, cx: &mut Cx, waiting: Waiting) {
        self.waiting.push(waiting);
        self.open_next(cx);
    }

    fn open_next(&mut self, cx: &mut Cx) {
        if let (None, Some(Waiting { window_end, start, .. })) = (&self.open, self.waiting.first()) {
            self.open = Some(Open { window_end: *window_end, start: *start, asked: Vec::new(), under_way: 0, answers: 0 });
            cx.timers.set(Timer::Inquiry, cx.now.mono.after(PATIENCE));
        }
    }

    /// Whom to ask next. The same until [`Inquiry::asked`] says who was.
    pub(crate) fn next_wanted(&self) -> Option<Wanted> {
        let open = self.open.as_ref().filter(|open| open.under_way + open.answers < ANSWERS)?;
        let body = GetCommitmentsRequest { start_block_number: U256::from(open.start), max_count: ITEMS }.encode();
        let purpose = Purpose::OwnWindow { start: open.start, count: ITEMS };
        let whom = Whom::AnyoneBut { exclude: open.asked.clone(), prefer: None };
        Some(Wanted { protocol: Protocol::GetCommitments, body, purpose, whom })
    }

    /// This peer was asked.
    pub(crate) fn asked(&mut self, peer: PeerId) {
        if let Some(open) = &mut self.open {
            open.asked.push(peer);
            open.under_way += 1;
        }
    }

    /// One who was asked has answered with so many commitments, or will not. Are there answers enough? A full page is none: there may be more.
    pub(crate) fn answered(&mut self, peer: &PeerId, items: Option<usize>) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| open.asked.contains(peer)) else { return false };
        open.under_way = open.under_way.saturating_sub(1);
        match items {
            Some(items) if items >= ITEMS as usize => {
                open.start = open.start.saturating_add(u64::from(ITEMS));
                open.asked.retain(|asked| asked != peer);
            }
            Some(_) => open.answers += 1,
            None => {}
        }
        open.answers >= ANSWERS
    }

    /// It is over: what waited for it is judged now, in its order, and the next window is asked about.
    pub(crate) fn end(&mut self, cx: &mut Cx) -> Vec<Waiting> {
        cx.timers.cancel(Timer::Inquiry);
        let Some(Open { window_end, .. }) = self.open.take() else { return Vec::new() };
        self.done = Some(window_end);
        let over = self.waiting.extract_if(.., |waiting| waiting.window_end == window_end).collect();
        self.open_next(cx);
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;
    use crate::wire::v1::PreconfCommitment;

    fn peer(name: u8) -> PeerId {
        PeerId::from_bytes(&[0, 1, name]).expect("three bytes")
    }

    #[test]
    fn p5_9b_three_answers_are_enough_and_who_does_not_answer_makes_room_for_another() {
        let (mut cx, mut inquiry) = (Cx::for_tests(), Inquiry::default());
        assert_eq!(inquiry.next_wanted(), None);
        let signed = SignedCommitment::new(PreconfCommitment::default(), [0; 65]);
        let waiting =
            |window_end, start, id| Waiting { window_end, start, command: CommandId(id), signed: signed.clone(), is_recorded: false };
        inquiry.wait(&mut cx, waiting(1_100, 7, 1));
        inquiry.wait(&mut cx, waiting(1_200, 9, 3));
        inquiry.wait(&mut cx, waiting(1_100, 8, 2));
        assert_eq!(cx.timers.next(), Some((Time::ZERO.after(PATIENCE), Timer::Inquiry)));
        for name in 1..=3 {
            assert!(matches!(inquiry.next_wanted().map(|wanted| wanted.purpose), Some(Purpose::OwnWindow { start: 7, .. })));
            inquiry.asked(peer(name));
        }
        assert_eq!(inquiry.next_wanted(), None, "three are under way");
        assert!(!inquiry.answered(&peer(1), None) && inquiry.next_wanted().is_some());
        inquiry.asked(peer(4));
        assert!(!inquiry.answered(&peer(2), Some(0)) && !inquiry.answered(&peer(9), Some(0)) && !inquiry.answered(&peer(3), Some(0)));
        assert!(inquiry.answered(&peer(4), Some(0)) && !inquiry.is_done(1_100));
        let waited: Vec<_> = inquiry.end(&mut cx).into_iter().map(|waiting| waiting.command).collect();
        assert_eq!(waited, [CommandId(1), CommandId(2)]);
        assert!(inquiry.is_done(1_100) && !inquiry.is_done(1_200) && !inquiry.answered(&peer(4), Some(0)));
        assert!(matches!(inquiry.next_wanted().map(|wanted| wanted.purpose), Some(Purpose::OwnWindow { start: 9, .. })), "the next window");
        assert_eq!((inquiry.end(&mut cx).len(), inquiry.end(&mut cx).len(), cx.timers.next()), (1, 0, None));
    }
}
