//! `preconf_fuzz::crypto` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    preconf_fuzz::crypto(data);
});
