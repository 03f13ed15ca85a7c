#![no_main]

use std::time::Instant;

libfuzzer_sys::fuzz_target!(|script: &[u8]| sip::fuzzing::endpoint(Instant::now(), script));
