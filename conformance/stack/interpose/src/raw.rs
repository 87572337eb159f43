//! System calls that pass libc by, since libc's own are what this package answers.

use libc::{c_int, c_long};

/// One system call, with its arguments as they stand in registers. Gives what the kernel gave: an error as its negative number.
///
/// # Safety
/// That of the system call.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn system_call(number: c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the calling convention of Linux on x86-64; what the call itself does is the caller's to answer for.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// One system call, with its arguments as they stand in registers. Gives what the kernel gave: an error as its negative number.
///
/// # Safety
/// That of the system call.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn system_call(number: c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the calling convention of Linux on AArch64; what the call itself does is the caller's to answer for.
    unsafe {
        core::arch::asm!("svc 0", in("x8") number as isize, inlateout("x0") a as isize => result, in("x1") b, in("x2") c,
            in("x3") d, in("x4") e, in("x5") f, options(nostack));
    }
    result
}

/// What libc would give for it: −1 and `errno`.
pub(crate) fn as_libc(result: isize) -> c_long {
    if (-4095..0).contains(&result) {
        // SAFETY: libc's own place for this thread's error.
        unsafe { *libc::__errno_location() = -result as c_int };
        -1
    } else {
        result as c_long
    }
}
