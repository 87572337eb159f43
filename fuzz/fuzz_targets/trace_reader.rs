//! `preconf_fuzz::trace_reader` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    preconf_fuzz::trace_reader(data);
});
