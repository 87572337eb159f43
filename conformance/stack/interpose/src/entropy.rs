//! Where does chance come from?

use std::ffi::c_void;

use libc::{c_int, c_long, c_uint, size_t, ssize_t};
use rand_chacha::rand_core::Rng;

use crate::raw::{as_libc, system_call};
use crate::thread::{Role, known_role, role, with_dice};
use crate::{timers, tripwires};

/// # Safety
/// So many bytes can be written there.
unsafe fn fill(to: *mut c_void, len: size_t) {
    if len == 0 {
        return; // no bytes may be asked for at no place, which is none for a slice
    }
    // SAFETY: the caller says so; the bytes are zeroed before they are seen as such.
    let bytes = unsafe {
        to.cast::<u8>().write_bytes(0, len);
        std::slice::from_raw_parts_mut(to.cast::<u8>(), len)
    };
    with_dice(|dice| dice.fill_bytes(bytes));
}

/// # Safety
/// That of libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(to: *mut c_void, len: size_t, flags: c_uint) -> ssize_t {
    // SAFETY: the caller's place, of the length that it names.
    unsafe {
        if known_role() == Role::Simulated {
            fill(to, len);
            return len as ssize_t;
        }
        as_libc(system_call(libc::SYS_getrandom, [to as usize, len, flags as usize, 0, 0, 0])) as ssize_t
    }
}

/// # Safety
/// That of libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getentropy(to: *mut c_void, len: size_t) -> c_int {
    // SAFETY: the caller's place, of the length that it names.
    if unsafe { getrandom(to, len, 0) } == len as ssize_t { 0 } else { -1 }
}

/// libc's variadic `syscall`: on both architectures the arguments stand where those of a fixed seven-argument function do. std parks its
/// threads by it, and older crates take their entropy from it.
///
/// # Safety
/// That of the system call.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    let pass_on = || {
        // SAFETY: the caller's own call.
        as_libc(unsafe { system_call(number, [a, b, c, d, e, f]) })
    };
    match number {
        libc::SYS_getrandom if known_role() == Role::Simulated => {
            // SAFETY: the caller's place, of the length that it names.
            unsafe { fill(a as *mut c_void, b) };
            b as c_long
        }
        libc::SYS_futex => {
            let (role, operation) = (role(), b as c_int & libc::FUTEX_CMD_MASK);
            if role == Role::Simulated && matches!(operation, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET) {
                tripwires::trip("waiting for a lock");
            }
            // SAFETY: the arguments are those of a futex call.
            unsafe { timers::futex(role, a, operation, c, d) }.map_or_else(pass_on, as_libc)
        }
        _ => pass_on(),
    }
}

/// Do the ways by which crates ask for entropy lead here?
pub(crate) fn check() -> Result<(), String> {
    // SAFETY: a look-up by a name that ends with zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"getrandom".as_ptr()) } as usize;
    if found == getrandom as *const () as usize && syscall as *const () as usize != 0 {
        Ok(())
    } else {
        Err("getrandom is not answered here: dlsym finds another".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_can_be_asked_for_at_no_place() {
        let simulated = std::thread::spawn(|| {
            let _ = crate::enter(1, 0); // whether others find these symbols is not asked here
            // SAFETY: none are written.
            unsafe { getrandom(std::ptr::null_mut(), 0, 0) }
        });
        assert_eq!(simulated.join().ok(), Some(0));
    }
}
