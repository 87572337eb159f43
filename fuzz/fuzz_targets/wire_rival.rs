//! `preconf_fuzz::wire_rival` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    preconf_fuzz::wire_rival(data);
});
