//! Whom do we ask for its head, and when (P6.9, P11.2)?
//!
//! | the chain | asked at once | asked again after |
//! |---|---|---|
//! | stands still | `heads_from` peers | `heads_every` |
//! | moves: its head did within `heads_every` | one peer; all take turns | `heads_while_moving`, divided by the peers that take turns |
//!
//! So what gossip lost is found in time while the chain moves, and little is asked while it does not.
//!
//! Invariant: between two calls of the machine nobody is left to be asked, because it polls [`HeadQueries::next_wanted`] until `None`.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::cx::Cx;
use crate::id::PeerId;
use crate::request::wanted::{Purpose, Wanted, Whom};
use crate::time::{Time, Timer};
use crate::wire::topics::Protocol;
use crate::wire::v1::GetHeadRequest;

/// How many peers there are to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerCount {
    pub(crate) connected: usize,
    /// Those of them that support the protocol.
    pub(crate) serving_heads: usize,
}

/// Who is asked for its head.
#[derive(Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct HeadQueries {
    /// When our head moved last.
    moved: Option<Time>,
    /// Who was asked last, the latest first, so that peers take turns.
    polled: VecDeque<PeerId>,
    /// How many more are to be asked now, and who of those that are not.
    left: usize,
    exclude: Vec<PeerId>,
}

impl HeadQueries {
    /// A request for a head.
    pub(super) fn wanted(whom: Whom) -> Wanted {
        let body = Bytes::from_static(&GetHeadRequest::BYTES);
        Wanted { protocol: Protocol::GetHead, body, purpose: Purpose::Head { command: None }, whom }
    }

    /// Our head moved.
    pub(super) fn head_moved(&mut self, cx: &mut Cx, count: impl FnOnce() -> PeerCount) {
        let was_moving = self.is_moving(cx);
        self.moved = Some(cx.now.mono);
        if !was_moving {
            self.set_timer(cx, count());
        }
    }

    /// Time to ask again.
    pub(super) fn due(&mut self, cx: &mut Cx, count: PeerCount) {
        self.left = if self.is_moving(cx) { 1 } else { cx.config.heads_from };
        self.polled.truncate(turns(cx, count).saturating_sub(1));
        self.exclude = if self.left == 1 { self.polled.iter().copied().collect() } else { Vec::new() };
        self.set_timer(cx, count);
    }

    /// Who is asked next. The same until [`HeadQueries::asked`] or [`HeadQueries::nobody_is_left`] says what came of it.
    pub(super) fn next_wanted(&self) -> Option<Wanted> {
        (self.left > 0).then(|| Self::wanted(Whom::AnyoneBut { exclude: self.exclude.clone(), prefer: None }))
    }

    /// This peer was asked.
    pub(super) fn asked(&mut self, cx: &Cx, peer: PeerId) {
        self.left = self.left.saturating_sub(1);
        self.exclude.push(peer);
        self.polled.push_front(peer);
        self.polled.truncate(cx.config.heads_from);
    }

    /// All who can be asked were.
    pub(super) fn nobody_is_left(&mut self) {
        self.left = 0;
    }

    /// A peer can be asked: from now on the timer runs, if it does not yet.
    pub(super) fn set_timer_if_idle(&self, cx: &mut Cx, count: PeerCount) {
        let at = self.next_at(cx, count);
        cx.timers.set_if_idle(Timer::Heads, at);
    }

    fn set_timer(&self, cx: &mut Cx, count: PeerCount) {
        if count.connected > 0 {
            let at = self.next_at(cx, count);
            cx.timers.set(Timer::Heads, at);
        }
    }

    fn next_at(&self, cx: &Cx, count: PeerCount) -> Time {
        let turns = u32::try_from(turns(cx, count)).unwrap_or(u32::MAX);
        cx.now.mono.after(if self.is_moving(cx) { cx.config.heads_while_moving / turns } else { cx.config.heads_every })
    }

    fn is_moving(&self, cx: &Cx) -> bool {
        self.moved.is_some_and(|at| cx.now.mono.since(at) < cx.config.heads_every)
    }
}

/// How many peers take turns while the chain moves.
fn turns(cx: &Cx, count: PeerCount) -> usize {
    count.serving_heads.clamp(1, cx.config.heads_from)
}
