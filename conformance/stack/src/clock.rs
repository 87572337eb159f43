//! The clock of a simulated node: the system's, as a runtime reads it. That it is virtual the node cannot know.

use std::time::{Duration, Instant, SystemTime};

use futures::future::{BoxFuture, FutureExt};
use futures_timer::Delay;
use preconf_core::{Now, Time, UnixTime};
use preconf_node::Clock;

/// The system's clocks, and the timers that libp2p uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Its monotonic time starts now.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { mono: Time::ZERO.after(self.start.elapsed()), unix: UnixTime(u64::try_from(unix.as_micros()).unwrap_or(u64::MAX)) }
    }

    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
        let left = Duration::from_micros(at.0).saturating_sub(self.start.elapsed());
        Delay::new(left).boxed()
    }
}
