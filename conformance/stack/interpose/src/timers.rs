//! When is the next timer due, and how does it ring?
//!
//! ```text
//!   simulated thread                 thread of futures-timer
//!   ----------------                 -----------------------
//!   arm: makes a first timer  -----> begins, and stops at its first system call
//!   gives the turn            -----> takes in new timers, wakes who is due, parks: its deadline is what the call says
//!   has the turn again        <----- gives it back, and waits
//! ```
//!
//! One of the two runs at any time, so they are one thread as far as order goes. The timer thread holds the turn only while the simulated one
//! waits for it, in [`arm`], [`next_timer`] and [`fire_timers`].

use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use libc::{c_int, timespec};

use crate::raw::system_call;
use crate::thread::{self, Role, UPTIME};

/// Who has the turn: 0 the simulated thread, 1 that of the timers.
static TURN: AtomicU32 = AtomicU32::new(0);
/// Has the thread of the timers begun?
static HAS_BEGUN: AtomicU32 = AtomicU32::new(0);
/// When it wants to be woken; `u64::MAX` when never.
static DEADLINE: AtomicU64 = AtomicU64::new(u64::MAX);
/// The time that it sees.
static NOW: AtomicU64 = AtomicU64::new(0);
/// The word that it is parked on.
static PARKED_ON: AtomicUsize = AtomicUsize::new(0);
/// Somebody woke it: there are new timers to take in.
static HAS_NEWS: AtomicBool = AtomicBool::new(false);
static IS_ARMED: AtomicBool = AtomicBool::new(false);

/// Seconds in which the thread of the timers must begin. Ours: a machine that takes longer runs nothing.
const BEGINS_WITHIN: i64 = 20;
/// Looks before a thread sleeps for its turn. Ours: the other one mostly takes less than a system call does.
const SPINS: u32 = 300;

thread_local! { static IS_ARMING: Cell<bool> = const { Cell::new(false) }; }

/// May a thread begin just now?
pub(crate) fn is_arming() -> bool {
    IS_ARMING.get()
}

/// The time on the thread of the timers.
pub(crate) fn now() -> u64 {
    NOW.load(SeqCst)
}

/// Which thread is this, that asks for the first time? That of the timers waits here for its first turn.
pub(crate) fn classify() -> Role {
    if !IS_ARMED.load(SeqCst) {
        return Role::Foreign;
    }
    let mut name = [0u8; 16];
    // SAFETY: sixteen bytes are what the kernel writes.
    unsafe { system_call(libc::SYS_prctl, [libc::PR_GET_NAME as usize, name.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    if !name.starts_with(b"futures-timer\0") {
        return Role::Foreign;
    }
    HAS_BEGUN.store(1, SeqCst);
    wake(&HAS_BEGUN);
    wait_while(&TURN, 0);
    Role::Timers
}

fn wake(word: &AtomicU32) {
    let operation = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: a word that lives as long as the process.
    unsafe { system_call(libc::SYS_futex, [word.as_ptr() as usize, operation, 1, 0, 0, 0]) };
}

fn wait_while(word: &AtomicU32, value: u32) {
    for _ in 0..SPINS {
        if word.load(SeqCst) != value {
            return;
        }
        spin_loop();
    }
    let operation = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    while word.load(SeqCst) == value {
        // SAFETY: a word that lives as long as the process.
        unsafe { system_call(libc::SYS_futex, [word.as_ptr() as usize, operation, value as usize, 0, 0, 0]) };
    }
}

/// What a futex call means here, if anything: the thread of the timers parks, or the simulated one wakes it.
///
/// # Safety
/// The arguments are those of a futex call.
pub(crate) unsafe fn futex(role: Role, word: usize, operation: c_int, value: usize, timeout: usize) -> Option<isize> {
    match role {
        Role::Timers if matches!(operation, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET) => {
            // SAFETY: the caller gives a timespec there, or nothing.
            let timeout = unsafe { (timeout as *const timespec).as_ref() };
            let deadline = timeout.map_or(u64::MAX, |timeout| deadline(operation, timeout, now()));
            // SAFETY: the caller gives a word there, which others may change.
            let parked_on = unsafe { AtomicU32::from_ptr(word as *mut u32) };
            loop {
                PARKED_ON.store(word, SeqCst);
                DEADLINE.store(deadline, SeqCst);
                TURN.store(0, SeqCst);
                wake(&TURN);
                wait_while(&TURN, 0);
                if parked_on.load(SeqCst) != value as u32 {
                    return Some(0);
                }
                if now() >= deadline {
                    return Some(-(libc::ETIMEDOUT as isize));
                }
            }
        }
        Role::Simulated if operation == libc::FUTEX_WAKE && word == PARKED_ON.load(SeqCst) => {
            HAS_NEWS.store(true, SeqCst);
            Some(1)
        }
        _ => None,
    }
}

/// When a wait ends by itself. That of `FUTEX_WAIT` is a span; that of `FUTEX_WAIT_BITSET`, which std uses, a time of the monotonic clock.
fn deadline(operation: c_int, timeout: &timespec, now: u64) -> u64 {
    let seconds = timeout.tv_sec.unsigned_abs();
    let nanos = seconds.saturating_mul(1_000_000_000).saturating_add(timeout.tv_nsec.unsigned_abs());
    if operation == libc::FUTEX_WAIT { now.saturating_add(nanos) } else { nanos.saturating_sub(UPTIME) }
}

/// Takes the thread of the timers in. `make` must make the process's first timer, and nothing may have made one before.
pub fn arm<T>(make: impl FnOnce() -> T) -> T {
    IS_ARMED.store(true, SeqCst);
    IS_ARMING.set(true);
    let timer = make();
    IS_ARMING.set(false);
    assert!(
        has_changed(&HAS_BEGUN, 0, BEGINS_WITHIN),
        "no thread called futures-timer has begun: the crate has no thread, or another name for it"
    );
    give_turn();
    timer
}

/// Waits until a word is another one, for as long as said.
fn has_changed(word: &AtomicU32, value: u32, limit_s: i64) -> bool {
    let limit = timespec { tv_sec: limit_s, tv_nsec: 0 };
    let operation = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    while word.load(SeqCst) == value {
        let arguments = [word.as_ptr() as usize, operation, value as usize, (&raw const limit) as usize, 0, 0];
        // SAFETY: a word that lives as long as the process, and a span that outlives the call.
        if unsafe { system_call(libc::SYS_futex, arguments) } == -(libc::ETIMEDOUT as isize) {
            return word.load(SeqCst) != value;
        }
    }
    true
}

fn give_turn() {
    HAS_NEWS.store(false, SeqCst);
    NOW.store(thread::now(), SeqCst);
    TURN.store(1, SeqCst);
    wake(&TURN);
    wait_while(&TURN, 1);
}

/// When the next timer is due, in nanoseconds of virtual time, once new ones are taken in. Those that are due already ring on the way.
pub fn next_timer() -> Option<u64> {
    if HAS_NEWS.load(SeqCst) {
        give_turn();
    }
    Some(DEADLINE.load(SeqCst)).filter(|at| *at != u64::MAX)
}

/// Rings what is due.
pub fn fire_timers() {
    if DEADLINE.load(SeqCst) <= thread::now() {
        give_turn();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_after_a_span_or_at_a_time_as_its_operation_says() {
        let span = timespec { tv_sec: 2, tv_nsec: 5 };
        assert_eq!(deadline(libc::FUTEX_WAIT, &span, 7_000_000_000), 9_000_000_005);
        let time = timespec { tv_sec: (UPTIME / 1_000_000_000) as i64 + 9, tv_nsec: 5 };
        assert_eq!(deadline(libc::FUTEX_WAIT_BITSET, &time, 7_000_000_000), 9_000_000_005);
        assert_eq!(deadline(libc::FUTEX_WAIT, &timespec { tv_sec: i64::MAX, tv_nsec: 0 }, 1), u64::MAX);
    }
}
