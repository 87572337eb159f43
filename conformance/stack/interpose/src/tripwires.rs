//! What must not happen on a simulated thread, and did?

use std::backtrace::Backtrace;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{c_int, clockid_t, pthread_attr_t, pthread_t, timespec};

use crate::raw::{as_libc, system_call};
use crate::thread::{Foreign, Role, known_role};
use crate::timers;

static TRIPS: AtomicU64 = AtomicU64::new(0);

/// How often something happened on a simulated thread that makes a run depend on more than its seed: a thread began, a socket was opened,
/// somebody slept or waited for a lock. Each was reported to standard error with its backtrace.
pub fn trips() -> u64 {
    TRIPS.load(Ordering::SeqCst)
}

pub(crate) fn trip(what: &str) {
    if known_role() != Role::Simulated {
        return;
    }
    let _real = Foreign::new(); // the report may use clocks and locks
    TRIPS.fetch_add(1, Ordering::SeqCst);
    eprintln!("tripwire: {what} on a simulated thread\n{}", Backtrace::force_capture());
}

type Main = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Main, *mut c_void) -> c_int;

/// # Safety
/// That of libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(thread: *mut pthread_t, how: *const pthread_attr_t, main: Main, argument: *mut c_void) -> c_int {
    if !timers::is_arming() {
        trip("a thread began");
    }
    // SAFETY: libc's own function of this name, which is there and has this type; then the caller's arguments.
    unsafe {
        let libcs = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
        std::mem::transmute::<*mut c_void, Create>(libcs)(thread, how, main, argument)
    }
}

/// # Safety
/// That of libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    trip("a socket was opened");
    // SAFETY: numbers only.
    as_libc(unsafe { system_call(libc::SYS_socket, [domain as usize, kind as usize, protocol as usize, 0, 0, 0]) }) as c_int
}

/// # Safety
/// That of libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn nanosleep(span: *const timespec, rest: *mut timespec) -> c_int {
    trip("somebody slept");
    // SAFETY: the caller's pointers.
    as_libc(unsafe { system_call(libc::SYS_nanosleep, [span as usize, rest as usize, 0, 0, 0, 0]) }) as c_int
}

/// # Safety
/// That of libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(clock: clockid_t, flags: c_int, span: *const timespec, rest: *mut timespec) -> c_int {
    trip("somebody slept");
    // SAFETY: the caller's pointers. This one gives the error itself.
    -unsafe { system_call(libc::SYS_clock_nanosleep, [clock as usize, flags as usize, span as usize, rest as usize, 0, 0]) } as c_int
}
