//! End to end: a whole gateway on loopback, called by a softphone over real SIP and RTP. One file per behaviour.
//!
//! Most use scripted models, so that what is heard and said is known; `real_engines` uses the real ones.

#[path = "../support/ports.rs"]
mod ports;
mod support;

/// What AgentNumber's programs send and read; the unit tests of the dialect read the same files.
#[path = "../../src/dialect/agentnumber/golden.rs"]
mod golden;
/// A client's own server, which the tests with real peers use as well.
#[path = "../support/webhook.rs"]
mod webhook;

mod a_backup_is_a_moment_of_a_running_box;
mod a_brain_or_an_engine_that_fails;
mod a_call_from_ring_to_record;
mod a_full_disk_ends_no_call;
mod a_killed_process_loses_nothing;
mod a_peer_asks_for_our_offer;
mod a_reader_may_have_read_enough;
mod a_real_phone_is_an_extension;
mod a_real_voicemail_gets_its_message;
mod a_thousand_listen;
mod agentnumber_programs_run_unchanged;
mod agents_think_elsewhere;
mod agents_use_tools;
mod both_families_meet;
mod calls_are_queued_and_steered;
mod calls_are_transferred;
mod calls_that_are_refused;
mod calls_that_go_out;
mod carriers_take_messages_by_http;
mod deliveries_survive_a_kill;
mod events_reach_webhooks;
mod extensions_call_and_are_called;
mod extensions_call_one_another;
mod extensions_send_and_get_messages;
mod http_clients_have_bounds;
mod keys_open_what_their_scopes_allow;
mod keys_travel_as_the_trunk_says;
mod laws_of_the_house;
mod messages_come_and_go;
mod numbers_are_taken_and_given_back;
mod outbound_manners;
mod peers_send_calls_on;
mod real_engines;
mod real_engines_and_brains;
mod real_engines_and_tools;
mod reports_are_written;
mod sealed_or_not_as_the_trunk_says;
mod somebody_attends_a_call;
mod strangers_ask_the_api_anything;
mod texts_are_spoken;
mod the_contract_of_v1;
mod the_control_api;
mod the_documented_flow_works;
mod trunks_that_fail;
mod what_is_asked_twice_is_done_once;
mod what_is_used_is_charged;
mod what_must_not_be_rung;
mod who_waits_hears_something;
