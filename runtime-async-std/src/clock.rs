//! What time is it, by async-std's timer?

use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use preconf_core::{Now, Time, UnixTime};
use preconf_node::Clock;

/// The machine's own clocks, through async-std's timer.
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
        Box::pin(async_std::task::sleep((self.start + Duration::from_micros(at.0)).saturating_duration_since(Instant::now())))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
