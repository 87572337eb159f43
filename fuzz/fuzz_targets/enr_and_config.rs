//! `preconf_fuzz::enr_and_config` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    preconf_fuzz::enr_and_config(data);
});
