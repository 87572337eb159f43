//! May one more request go to this peer now (P6.7)?
//!
//! We keep to the limits that we hold others to, one request per window fewer, so that jitter on the way never pushes us over. Others may
//! limit by a token bucket or by a fixed window (P6.6): not more than so many in *any* span of one window satisfies both.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// When the last requests on one protocol went to one peer. Holds at most as many times as the limit allows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    sent: VecDeque<Time>,
}

impl Pace {
    /// When the next request may go: at once, or when the oldest of the last `limit` has left the window.
    pub(crate) fn free_at(&self, limit: usize, window: Duration) -> Time {
        match self.sent.front() {
            Some(oldest) if self.sent.len() >= limit => oldest.after(window),
            Some(_) | None => Time::ZERO,
        }
    }

    /// A request goes now.
    pub(crate) fn note(&mut self, now: Time, limit: usize) {
        while self.sent.len() >= limit.max(1) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_of_one_window_holds_more_than_the_limit() {
        // P6.7
        let (limit, window) = (7, Duration::from_secs(10));
        let mut pace = Pace::default();
        let mut sent = Vec::new();
        for ms in 0..60_000 {
            let now = Time::from_millis(ms);
            if pace.free_at(limit, window) <= now {
                pace.note(now, limit);
                sent.push(now);
            }
        }
        assert_eq!(sent.len(), 6 * limit);
        for eight in sent.windows(limit + 1) {
            assert!(eight[limit].since(eight[0]) >= window);
        }
    }
}
