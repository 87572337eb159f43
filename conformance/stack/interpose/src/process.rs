//! What of a process differs from run to run?

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the process that was started anew.
const IS_FIXED: &str = "PRECONF_ADDRESSES_FIXED";

/// Starts the process anew with its memory at the same addresses every time: some hash tables order by address. Does nothing in the process
/// that was started so, nor where the system does not allow it: such a run differs from others only where a table like that is walked.
///
/// # Errors
/// The program could not be started again.
pub fn fix_addresses() -> io::Result<()> {
    // SAFETY: asks, and sets, how this process is laid out when it starts anew.
    let refused = unsafe {
        let personality = libc::personality(0xffff_ffff);
        std::env::var_os(IS_FIXED).is_some()
            || personality & libc::ADDR_NO_RANDOMIZE != 0
            || libc::personality((personality | libc::ADDR_NO_RANDOMIZE) as libc::c_ulong) < 0
    };
    if refused {
        return Ok(());
    }
    Err(Command::new("/proc/self/exe").args(std::env::args_os().skip(1)).env(IS_FIXED, "1").exec())
}
