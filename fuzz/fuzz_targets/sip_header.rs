#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    sip::fuzzing::text(text);
    sip::fuzzing::params(text);
});
