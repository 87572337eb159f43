//! `preconf_fuzz::sim_model` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    preconf_fuzz::sim_model(data);
});
