//! What time is it?

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libc::{c_int, clockid_t, time_t, timespec, timeval};

use crate::raw::{as_libc, system_call};
use crate::thread::{self, Role, UPTIME};
use crate::timers;

/// The unix time of virtual zero.
static UNIX_START: AtomicU64 = AtomicU64::new(0);

pub(crate) fn set_unix_start(nanos: u64) {
    UNIX_START.store(nanos, Ordering::SeqCst);
}

/// The virtual time of a clock, on a thread that has one.
fn virtual_time(clock: clockid_t) -> Option<u64> {
    let is_wall = match clock {
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_BOOTTIME => false,
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_TAI => true,
        _ => return None, // processor time is real
    };
    let (now, offset) = match thread::role() {
        Role::Simulated => (thread::now(), thread::unix_offset()),
        Role::Timers => (timers::now(), 0),
        Role::Foreign | Role::Unknown => return None,
    };
    Some(if is_wall { (UNIX_START.load(Ordering::SeqCst) + now).saturating_add_signed(offset) } else { UPTIME + now })
}

/// # Safety
/// That of libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, to: *mut timespec) -> c_int {
    let Some(nanos) = virtual_time(clock) else {
        // SAFETY: the caller's pointer, passed on.
        return as_libc(unsafe { system_call(libc::SYS_clock_gettime, [clock as usize, to as usize, 0, 0, 0, 0]) }) as c_int;
    };
    let time = timespec { tv_sec: (nanos / 1_000_000_000) as time_t, tv_nsec: (nanos % 1_000_000_000) as i64 };
    // SAFETY: the caller gives a place for a timespec.
    unsafe { to.write(time) };
    0
}

/// # Safety
/// That of libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(to: *mut timeval, _zone: *mut c_void) -> c_int {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place of our own, and then the caller's, if there is one.
    unsafe {
        let result = clock_gettime(libc::CLOCK_REALTIME, &raw mut time);
        if !to.is_null() {
            to.write(timeval { tv_sec: time.tv_sec, tv_usec: time.tv_nsec / 1_000 });
        }
        result
    }
}

/// # Safety
/// That of libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn time(to: *mut time_t) -> time_t {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place of our own, and then the caller's, if there is one.
    unsafe {
        clock_gettime(libc::CLOCK_REALTIME, &raw mut time);
        if !to.is_null() {
            to.write(time.tv_sec);
        }
    }
    time.tv_sec
}

/// Does std see virtual time?
pub(crate) fn check() -> Result<(), String> {
    // SAFETY: two calls that write to nothing of ours.
    let (c, kernel) = unsafe { (time(null_mut()), UNIX_START.load(Ordering::SeqCst) / 1_000_000_000) };
    let seen = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expected = Duration::from_nanos(UNIX_START.load(Ordering::SeqCst) + thread::now());
    if seen == expected && c as u64 == kernel { Ok(()) } else { Err(format!("std's clock is not answered here: it says {seen:?}")) }
}

/// Processor time of the calling thread, which is always real.
pub fn processor_time() -> Duration {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place of our own.
    unsafe { system_call(libc::SYS_clock_gettime, [libc::CLOCK_THREAD_CPUTIME_ID as usize, (&raw mut time) as usize, 0, 0, 0, 0]) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
