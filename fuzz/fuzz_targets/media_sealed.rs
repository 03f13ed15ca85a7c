#![no_main]

use std::sync::OnceLock;
use std::time::Instant;

static BEGAN: OnceLock<Instant> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| media::fuzzing::sealed_session(*BEGAN.get_or_init(Instant::now), bytes));
