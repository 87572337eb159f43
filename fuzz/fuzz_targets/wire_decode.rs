//! `preconf_fuzz::wire_decode` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    preconf_fuzz::wire_decode(data);
});
