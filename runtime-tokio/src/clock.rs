//! What time is it, and how does the driver wait?
//!
//! The machine never asks; the driver reads a [`Clock`] before each step and sleeps on it between steps. A simulated world brings its own.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use preconf_core::{Now, Time, UnixTime};
use tokio::time::Instant;

/// A source of time for the driver.
pub trait Clock: Send + Sync + 'static {
    /// Both times at this moment. The monotonic one starts near zero and never goes back.
    fn now(&self) -> Now;

    /// Waits until about this time. Waking early does no harm: the driver asks for the time again.
    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()>;
}

/// The machine's own clocks, through tokio's timer.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        // A host clock before 1970 is no worse than any other wrong one.
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { mono: Time::ZERO.after(self.start.elapsed()), unix: UnixTime(micros(unix)) }
    }

    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(self.start + Duration::from_micros(at.0)))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The one sleep of the loop: set anew only when the deadline moves, since most steps leave it where it is.
#[derive(Default)]
pub(crate) struct Alarm {
    set: Option<(Time, BoxFuture<'static, ()>)>,
}

impl Alarm {
    /// Waits until about `at`, or for ever when there is no deadline.
    pub(crate) async fn ring(&mut self, clock: &dyn Clock, at: Option<Time>) {
        let Some(at) = at else { return std::future::pending().await };
        if self.set.as_ref().is_none_or(|(set, _)| *set != at) {
            self.set = Some((at, clock.sleep_until(at)));
        }
        Ring(self).await;
    }
}

struct Ring<'a>(&'a mut Alarm);

impl Future for Ring<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some((_, sleep)) = &mut self.0.set {
            ready!(sleep.as_mut().poll(context));
            self.0.set = None; // a sleep that ended must not be polled again
        }
        Poll::Ready(())
    }
}
