//! Behaviour of the media crate, each in a file named after it. Everything but `net` runs on a virtual clock.

#![allow(unreachable_pub, reason = "a test binary has no public face")]

#[cfg(feature = "net")]
mod a_disk_may_be_full;
mod delay_adapts;
mod digits_cross_a_line;
mod echo_is_no_voice;
mod hush_is_exact;
mod keys_come_once;
mod link;
mod lossy_lines_sound_right;
mod no_bytes_make_it_panic;
mod opus_files_hold_the_sound;
#[cfg(feature = "net")]
#[path = "../../../tests/support/ports.rs"]
mod ports;
#[cfg(feature = "net")]
mod real_sockets;
mod recordings_survive;
mod reports_are_true;
mod sdp_agrees;
mod somebody_attends_a_call;
mod sound_is_sealed;
mod strangers_stay_out;
mod support;
mod two_lines_are_bridged;
mod two_sessions_talk;
mod voice_is_told_from_noise;
mod wide_calls_sound_wide;
