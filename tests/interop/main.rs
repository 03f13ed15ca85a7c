//! The gateway against programs that we did not write: Kamailio, baresip, SIPp.
//!
//! One file per behaviour; its name is the sentence that it proves. `README.md` says how to run one.

#[path = "../support/ports.rs"]
mod ports;
mod support;
/// A client's own server, in Python.
#[path = "../support/webhook.rs"]
mod webhook;

mod a_caller_moves_its_sound;
mod a_phone_calls_the_number_and_is_answered;
mod a_phone_speaks_any_of_our_codecs;
mod a_phone_that_holds_and_comes_back_is_heard;
mod a_registrar_may_ask_for_sha256;
mod a_strangers_packets_are_not_heard;
mod agentnumber_programs_have_real_calls;
mod an_agent_serves_the_phones_of_the_house;
mod an_agent_walks_through_a_menu;
mod an_extension_holds_and_hands_on_its_call;
mod an_interrupt_says_goodbye;
mod digits_pressed_on_the_phone_arrive;
mod keys_that_sipp_has_captured_arrive;
mod malformed_messages_are_survived;
mod one_data_folder_has_one_gateway;
mod our_own_phone_meets_a_real_one;
mod sipp_places_two_hundred_calls;
mod sipp_streams_what_was_said;
mod somebody_listens_to_a_call;
mod sound_and_digits_arrive_as_they_were_sent;
mod sound_is_encrypted;
mod the_gateway_calls_the_phone;
mod the_peers_work_without_us;
mod the_record_says_how_the_line_was;
mod the_record_says_who_hung_up;
mod what_cannot_be_served_is_refused_by_its_own_status;
mod who_waits_hears_music;
