//! Which threads are simulated, and what does a simulated one hold?

use std::cell::{Cell, RefCell};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::timers;

/// Nanoseconds that a simulated machine has been up when its time is zero. Ours: libraries that go back from now must not go below zero.
pub(crate) const UPTIME: u64 = 1_000_000 * 1_000_000_000;

/// What a thread is to the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It has not been asked yet.
    Unknown,
    /// The one thread that is simulated.
    Simulated,
    /// The thread of `futures-timer`, which runs when it is let.
    Timers,
    /// Everybody else.
    Foreign,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Unknown) };
    static NOW: Cell<u64> = const { Cell::new(0) };
    static UNIX_OFFSET: Cell<i64> = const { Cell::new(0) };
    // No destructor, and no allocation: entropy is asked for while a thread begins and ends.
    static DICE: RefCell<Option<ChaCha8Rng>> = const { RefCell::new(None) };
}

/// Makes the calling thread a simulated one, at time zero. The first thing that a fresh thread should do: std seeds its hash maps once a thread.
/// `unix` is the unix time of that moment in nanoseconds.
///
/// # Errors
/// What is not answered by this package: the binary was linked such that libc's own symbols come first, and no run could be trusted.
pub fn enter(seed: u64, unix: u64) -> Result<(), String> {
    DICE.with_borrow_mut(|dice| *dice = Some(ChaCha8Rng::seed_from_u64(seed)));
    NOW.set(0);
    crate::clock::set_unix_start(unix);
    ROLE.set(Role::Simulated);
    crate::clock::check()?;
    crate::entropy::check()
}

/// The calling thread's virtual time: nanoseconds since it [`enter`]ed.
pub fn now() -> u64 {
    NOW.get()
}

/// Moves it on. Going back is a mistake of the caller's, and changes nothing.
pub fn set_now(nanos: u64) {
    NOW.set(nanos.max(NOW.get()));
}

/// Wall clocks are off by so many nanoseconds from now on, for whatever runs next: each simulated machine has a clock of its own.
pub fn set_unix_offset(nanos: i64) {
    UNIX_OFFSET.set(nanos);
}

pub(crate) fn unix_offset() -> i64 {
    UNIX_OFFSET.get()
}

pub(crate) fn role() -> Role {
    let role = ROLE.get();
    if role == Role::Unknown {
        let role = timers::classify();
        ROLE.set(role);
        return role;
    }
    role
}

/// The role without finding out: for what must not be in the way of a thread that begins.
pub(crate) fn known_role() -> Role {
    ROLE.get()
}

pub(crate) fn with_dice(act: impl FnOnce(&mut ChaCha8Rng)) {
    DICE.with_borrow_mut(|dice| dice.as_mut().map(act));
}

/// The calling thread sees the real world while this lives: for reports, measurements, and what writes files.
#[derive(Debug)]
pub struct Foreign(Role);

impl Foreign {
    /// From now on.
    pub fn new() -> Self {
        Self(ROLE.replace(Role::Foreign))
    }
}

impl Default for Foreign {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        ROLE.set(self.0);
    }
}
