//! `preconf_fuzz::codec_stream` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    preconf_fuzz::codec_stream(data);
});
