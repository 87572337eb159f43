//! `preconf_fuzz::machine_bytes` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    preconf_fuzz::machine_bytes(data);
});
