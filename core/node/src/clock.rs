//! What time is it, and how does the loop wait?
//!
//! The machine never asks; the loop reads a [`Clock`] before each step and sleeps on it between steps. Each runtime brings its own, and so
//! does a simulated world.

use std::task::{Context, Poll, ready};

use futures::future::{BoxFuture, FutureExt};
use preconf_core::{Now, Time};

/// A source of time for the loop.
pub trait Clock: Send + Sync + 'static {
    /// Both times at this moment. The monotonic one starts near zero and never goes back.
    fn now(&self) -> Now;

    /// Waits until about this time. Waking early does no harm: the loop asks for the time again.
    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()>;
}

/// The one sleep of the loop: set anew only when the deadline moves, since most steps leave it where it is.
#[derive(Default)]
pub(crate) struct Alarm {
    set: Option<(Time, BoxFuture<'static, ()>)>,
}

impl Alarm {
    /// Is it about `at`? Never, when there is no deadline.
    pub(crate) fn poll_ring(&mut self, clock: &dyn Clock, at: Option<Time>, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        if self.set.as_ref().is_none_or(|(set, _)| *set != at) {
            self.set = Some((at, clock.sleep_until(at)));
        }
        if let Some((_, sleep)) = &mut self.set {
            ready!(sleep.poll_unpin(context));
            self.set = None; // a sleep that ended must not be polled again
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use super::*;

    /// Counts the sleeps; those until an even time end at once.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Clock for Counting {
        fn now(&self) -> Now {
            Now::default()
        }

        fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            if at.0.is_multiple_of(2) { std::future::ready(()).boxed() } else { std::future::pending().boxed() }
        }
    }

    #[test]
    fn a_deadline_that_stays_where_it_is_costs_one_sleep() {
        let (clock, mut alarm) = (Counting::default(), Alarm::default());
        let mut context = Context::from_waker(Waker::noop());
        let mut ring = |at| alarm.poll_ring(&clock, at, &mut context);
        assert_eq!([ring(None), ring(Some(Time(1))), ring(Some(Time(1))), ring(None), ring(Some(Time(1)))], [Poll::Pending; 5]);
        assert_eq!(clock.0.load(Ordering::Relaxed), 1);
        let mut ring = |at| alarm.poll_ring(&clock, at, &mut context);
        assert_eq!([ring(Some(Time(2))), ring(Some(Time(2)))], [Poll::Ready(()); 2]);
        assert_eq!(clock.0.load(Ordering::Relaxed), 3);
    }
}
