//! `preconf_fuzz::frame_decoder` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    preconf_fuzz::frame_decoder(data);
});
