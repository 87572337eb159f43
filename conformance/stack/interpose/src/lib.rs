//! How does a program that asks the system for time and chance run in virtual time, from one seed?
//!
//! libp2p reads `Instant::now`, seeds its hash maps and rolls dice wherever it likes, and its timers live on a thread of their own. This
//! package defines the symbols of libc by which all of that reaches the system: `clock_gettime`, `getrandom`, `syscall` and a few more. What
//! an executable defines comes before what a library does, for std, for C code, and for `dlsym`. So a binary that links this package runs
//! unmodified crates in a world of ours:
//!
//! - On the thread that [`enter`]ed, time is [`now`] and moves only by [`set_now`]; chance comes from its seed.
//! - The thread of the crate `futures-timer` runs only when it is let ([`next_timer`], [`fire_timers`]). When it has nothing to do, std parks it
//!   with an absolute deadline that it computed from our clock: so the system call that parks it says when the next timer is due.
//! - What must not happen on a simulated thread (another thread, a socket, a sleep, a lock that is waited for) is a tripwire: [`trips`].
//! - All other threads get the real thing.
//!
//! It works on Linux with glibc, and knows nothing of what it serves. Elsewhere [`IS_SUPPORTED`] is false, and there is nothing else.
//!
//! Ids that a process counts up (libp2p's connection ids) are not started anew by [`enter`]: a process plays one simulation.

#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod clock;
#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod entropy;
#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod process;
#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod raw;
#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod thread;
#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod timers;
#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tripwires;

/// Can this machine do it? Linux with glibc, on x86-64 or AArch64.
pub const IS_SUPPORTED: bool = cfg!(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")));

#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub use self::{
    clock::processor_time,
    process::fix_addresses,
    thread::{Foreign, enter, now, set_now, set_unix_offset},
    timers::{arm, fire_timers, next_timer},
    tripwires::trips,
};
