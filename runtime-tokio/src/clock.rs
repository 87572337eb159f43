//! What time is it, by tokio's timer?

use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use preconf_core::{Now, Time, UnixTime};
use preconf_node::Clock;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// The machine's own clocks, through tokio's timer.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
    // Held, so that the driver may be polled by any executor.
    runtime: Handle,
}

impl SystemClock {
    /// A clock whose monotonic time starts now, and that sleeps on this runtime.
    pub fn new(runtime: Handle) -> Self {
        Self { start: Instant::now(), runtime }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        // A host clock before 1970 is no worse than any other wrong one.
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { mono: Time::ZERO.after(self.start.elapsed()), unix: UnixTime(micros(unix)) }
    }

    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
        let _inside = self.runtime.enter();
        Box::pin(tokio::time::sleep_until(self.start + Duration::from_micros(at.0)))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
