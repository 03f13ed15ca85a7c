//! SRTP: keys are agreed on in the session description, sound and reports go through sealed, and what was not sealed by the peer is
//! counted and never heard.

use media::sdp::{self, Capabilities, Direction, Encryption, LocalMedia, NegotiateError, Negotiated};
use media::srtp::{KeySeed, Suite};
use media::{Channel, MediaSession, SessionConfig};

use crate::support::*;

fn local(last: u8, port: u16) -> LocalMedia {
    LocalMedia { ip: [192, 0, 2, last].into(), port, session_id: 1, version: 1 }
}

fn sealed(seed: u8, required: bool, suites: &[Suite]) -> Capabilities {
    let encryption = Encryption::on(required, suites.to_vec(), KeySeed::new([seed; 32]));
    // Apart: what is counted here is RTP.
    Capabilities { encryption, rtcp_mux: false, ..Capabilities::default() }
}

/// What the one who offers and the one who answers come to, and the offer and the answer.
fn agree(
    offerer: &Capabilities,
    answerer: &Capabilities,
) -> Result<(Negotiated, Negotiated, String, String), NegotiateError> {
    let offer = sdp::offer(offerer, &local(1, 4_000), Direction::SendRecv);
    let (answer, theirs) = sdp::answer(&offer, answerer, &local(2, 5_000))?;
    let ours = sdp::accept(&answer, offerer)?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ok((ours, theirs, text(offer), text(answer)))
}

fn two(suite: Suite) -> (Negotiated, Negotiated) {
    let (ours, theirs, ..) =
        agree(&sealed(1, true, &[suite]), &sealed(2, true, &Suite::ALL)).expect("they have one in common");
    (ours, theirs)
}

#[test]
fn each_side_seals_with_what_the_other_opens_with() {
    for suite in Suite::ALL {
        let (ours, theirs, offer, answer) =
            agree(&sealed(1, true, &[suite]), &sealed(2, true, &Suite::ALL)).expect("one in common");
        assert!(offer.contains("m=audio 4000 RTP/SAVP ") && answer.contains("m=audio 5000 RTP/SAVP "));
        assert!(answer.contains(&format!("a=crypto:1 {} inline:", suite.name())), "{answer}");
        assert_eq!(answer.matches("a=crypto").count(), 1);
        let (ours, theirs) = (ours.srtp.expect("sealed"), theirs.srtp.expect("sealed"));
        assert_eq!((ours.suite, theirs.suite), (suite, suite));
        assert_eq!((&ours.ours, &ours.theirs), (&theirs.theirs, &theirs.ours));
        assert_ne!(ours.ours, ours.theirs);
    }
}

#[test]
fn what_must_be_is_and_what_may_be_is_where_both_can() {
    let off = Capabilities::default;
    let optional = |seed| sealed(seed, false, &Suite::ALL);
    let required = |seed| sealed(seed, true, &Suite::ALL);
    // Offerer, answerer: what comes of it. `None`: 488.
    for (offerer, answerer, expected) in [
        (off(), off(), Some(false)),
        (off(), optional(2), Some(false)),
        (off(), required(2), None),
        (optional(1), off(), Some(false)),
        (optional(1), optional(2), Some(true)),
        (optional(1), required(2), Some(true)),
        (required(1), off(), None),
        (required(1), optional(2), Some(true)),
        (required(1), required(2), Some(true)),
        (sealed(1, true, &[Suite::AeadAes128Gcm]), sealed(2, true, &[Suite::AesCm128HmacSha1_80]), None),
        (
            sealed(1, false, &[Suite::AeadAes128Gcm]),
            sealed(2, false, &[Suite::AesCm128HmacSha1_80]),
            Some(false),
        ),
    ] {
        let came = agree(&offerer, &answerer);
        match (&came, expected) {
            (Ok((ours, theirs, ..)), Some(sealed)) => {
                assert_eq!((ours.srtp.is_some(), theirs.srtp.is_some()), (sealed, sealed));
            }
            (Err(error), None) => assert_eq!(error.status(), 488, "{error}"),
            _ => panic!("{offerer:?} {answerer:?} {came:?}"),
        }
    }
    let (_, _, offer, answer) = agree(&optional(1), &optional(2)).expect("sealed");
    assert!(offer.contains("m=audio 4000 RTP/AVP ") && offer.matches("a=crypto").count() == 4, "{offer}");
    assert!(answer.contains("m=audio 5000 RTP/AVP ") && answer.contains("a=crypto:1 AEAD_AES_256_GCM "));
}

#[test]
fn the_offerers_favourite_counts_and_of_two_streams_the_sealed_one() {
    let key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/SAVPF 8\r\n\
         a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:{key}|2^20\r\na=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"
    );
    let (answer, agreed) =
        sdp::answer(offer.as_bytes(), &sealed(2, false, &Suite::ALL), &local(2, 5_000)).expect("sealed");
    let answer = String::from_utf8(answer).expect("UTF-8");
    assert!(
        answer.contains("m=audio 0 RTP/AVP 0\r\n") && answer.contains("m=audio 5000 RTP/SAVPF 8\r\n"),
        "{answer}"
    );
    assert!(answer.contains("a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:"), "{answer}");
    assert_eq!(agreed.remote.port(), 4_002);
    // Where it is off, the plain one is taken.
    let (answer, agreed) =
        sdp::answer(offer.as_bytes(), &Capabilities::default(), &local(2, 5_000)).expect("plain");
    assert_eq!((agreed.remote.port(), agreed.srtp), (4_000, None));
    assert!(String::from_utf8(answer).expect("UTF-8").contains("m=audio 0 RTP/SAVPF 8\r\n"));
}

#[test]
fn an_answer_that_names_no_line_of_ours_or_gives_our_key_back_is_refused() {
    let ours = sealed(1, true, &[Suite::AesCm128HmacSha1_80]);
    let offer = String::from_utf8(sdp::offer(&ours, &local(1, 4_000), Direction::SendRecv)).expect("UTF-8");
    assert!(sdp::accept(offer.as_bytes(), &ours).is_err(), "our own key");
    let (_, _, _, answer) = agree(&ours, &sealed(2, true, &Suite::ALL)).expect("sealed");
    assert!(sdp::accept(answer.as_bytes(), &ours).is_ok());
    assert!(sdp::accept(answer.replace("crypto:1", "crypto:2").as_bytes(), &ours).is_err());
    assert!(
        sdp::accept(answer.replace("RTP/SAVP", "RTP/AVP").replace("a=crypto", "a=x").as_bytes(), &ours)
            .is_err()
    );
}

#[test]
fn a_peer_that_keeps_its_key_finds_ours_unchanged_and_one_that_takes_another_does_not() {
    let answerer = sealed(2, true, &Suite::ALL);
    let key = |offerer: u8| {
        let (_, theirs, ..) = agree(&sealed(offerer, true, &Suite::ALL), &answerer).expect("sealed");
        theirs.srtp.expect("sealed").ours
    };
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), key(3));
}

#[test]
fn keys_stand_in_no_debug_text() {
    let (ours, _, offer, _) =
        agree(&sealed(1, true, &Suite::ALL), &sealed(2, true, &Suite::ALL)).expect("sealed");
    let shown = format!("{ours:?} {:?}", sealed(1, true, &Suite::ALL));
    for line in offer.lines().filter_map(|line| line.split_once("inline:")) {
        assert!(!shown.contains(&line.1[..8]));
    }
    assert!(!shown.contains("[1, 1, 1"), "{shown}");
}

/// Two parties on a line without faults. `between` sees every packet on its way, and may change it.
struct Call {
    now: std::time::Instant,
    speaker: Party,
    listener: Party,
    here: std::net::SocketAddr,
    there: std::net::SocketAddr,
}

impl Call {
    fn new(suite: Suite, seed: u64) -> Call {
        let began = start();
        let (ours, theirs) = two(suite);
        let mut call = Call {
            now: began,
            speaker: Party::new(began, seed),
            listener: Party::new(began, seed + 1),
            here: address(1, 4_000),
            there: address(2, 5_000),
        };
        call.speaker.session.configure(began, &ours);
        call.listener.session.configure(began, &theirs);
        call
    }

    fn step(&mut self, mut between: impl FnMut(&mut MediaSession, Vec<u8>)) {
        self.speaker.tick(self.now);
        for (to, packet) in self.speaker.sent.drain(..) {
            assert_eq!(to, self.there);
            between(&mut self.listener.session, packet);
        }
        self.now += TICK;
        self.listener.tick(self.now);
        self.listener.sent.clear();
    }

    fn say(&mut self, pcm: &[i16]) {
        self.speaker.session.play(chunk(1, 8_000, pcm.to_vec(), true)).expect("room");
    }
}

#[test]
fn sound_comes_through_every_suite_and_none_of_it_stands_on_the_wire() {
    for suite in Suite::ALL {
        let mut call = Call::new(suite, 1);
        let said = voice(8_000, 3.0);
        call.say(&said);
        let (now, here) = (call.now, call.here);
        let mut overhead = 0;
        for tick in 0..200 {
            call.step(|listener, packet| {
                overhead = packet.len() - 172;
                listener.handle_packet(now + TICK * tick, here, &packet);
            });
        }
        let expected = match suite {
            Suite::AesCm128HmacSha1_32 => 4,
            Suite::AesCm128HmacSha1_80 => 10,
            _ => 16,
        };
        assert_eq!(overhead, expected);
        let (_, snr) = best_fit(&said, &call.listener.heard);
        assert!(snr > 37.0, "{suite:?}: {snr:.1} dB");
        let stats = call.listener.session.stats();
        assert_eq!((stats.srtp_refused, stats.srtp_replayed, stats.lost), (0, 0, 0));
    }
}

#[test]
fn what_is_forged_replayed_or_in_clear_is_counted_and_never_heard() {
    for suite in Suite::ALL {
        let mut call = Call::new(suite, 1);
        let (now, here) = (call.now, call.here);
        let mut chance = Chance::new(5);
        let mut plain = Party::new(now, 9);
        plain.session.configure(now, &agreed(call.there));
        plain.session.play(chunk(1, 8_000, voice(8_000, 4.0), true)).expect("room");
        for tick in 0..200u32 {
            let at = now + TICK * tick;
            plain.tick(at);
            let loud = plain.sent.pop().expect("a packet").1;
            call.step(|listener, packet| {
                // The right head, with a stranger's sound behind it, and with whatever tag.
                let mut forged = packet.clone();
                forged[12..172].copy_from_slice(&loud[12..172]);
                listener.handle_packet(at, here, &forged);
                // In clear, with the head that is expected.
                listener.handle_packet(at, here, &forged[..172]);
                // Damaged by a bit.
                let mut damaged = packet.clone();
                let bit = chance.below(8 * damaged.len());
                damaged[bit / 8] ^= 1 << (bit % 8);
                listener.handle_packet(at, here, &damaged);
                listener.handle_packet(at, here, &packet);
                listener.handle_packet(at, here, &packet);
                // From somebody who has recorded it.
                listener.handle_packet(at, address(66, 6_000), &packet);
            });
        }
        let stats = call.listener.session.stats();
        // A damaged number may be one that came before.
        assert_eq!(stats.srtp_refused + stats.srtp_replayed, 1_000, "{suite:?}");
        assert!((400..420).contains(&stats.srtp_replayed), "{suite:?}: {stats:?}");
        assert_eq!((stats.received, stats.lost, stats.strangers, stats.duplicate), (200, 0, 0, 0));
        assert!(call.listener.heard.iter().all(|sample| sample.abs() < 16), "{suite:?}: something was heard");
    }
}

#[test]
fn nobody_is_latched_who_does_not_hold_the_key() {
    let mut call = Call::new(Suite::AesCm128HmacSha1_80, 1);
    let stranger = address(66, 6_000);
    for sequence in 0..20u16 {
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([0, 0, 0, 7]);
        packet.extend([0x55; 170]);
        call.listener.session.handle_packet(call.now, stranger, &packet);
    }
    // The peer, from where it was not announced: three packets as ever.
    let real = address(3, 7_777);
    let now = call.now;
    for tick in 0..3 {
        call.step(|listener, packet| listener.handle_packet(now + TICK * tick, real, &packet));
    }
    let latched =
        |event: &&media::Event| matches!(event, media::Event::Latched { remote } if *remote == real);
    assert_eq!(call.listener.events.iter().filter(latched).count(), 1);
    let stats = call.listener.session.stats();
    assert_eq!((stats.srtp_refused, stats.strangers), (20, 0));
}

#[test]
fn the_numbers_wrap_and_sound_goes_on_even_where_the_wrap_is_lost() {
    // A seed whose first number is near the end of its half, so that the wrap comes soon.
    let first = |seed: u64| {
        let mut party = Party::new(start(), seed);
        party.session.configure(start(), &agreed(address(1, 1)));
        party.tick(start());
        u16::from_be_bytes([party.sent[0].1[2], party.sent[0].1[3]])
    };
    let seed = (0..).find(|seed| first(*seed) > 32_700).expect("one in five hundred");
    for lost in [0usize, 120] {
        let began = start();
        let (mut ours, theirs) = two(Suite::AeadAes128Gcm);
        // Two packets a tick.
        ours.ptime_ms = 10;
        let (mut speaker, mut listener) = (Party::new(began, seed), Party::new(began, 1));
        speaker.session.configure(began, &ours);
        listener.session.configure(began, &theirs);
        let mut after = 0;
        for tick in 0..16_700u32 {
            let now = began + TICK * tick;
            speaker.tick(now);
            for (_, packet) in speaker.sent.drain(..) {
                let number = u16::from_be_bytes([packet[2], packet[3]]);
                let near = number.wrapping_add(lost as u16 / 2) < lost as u16;
                // The middle of the way is left out: the numbers alone matter.
                if near || (33_000..65_000).contains(&number) {
                    continue;
                }
                after += u64::from(number < 300);
                listener.session.handle_packet(now, address(1, 4_000), &packet);
            }
        }
        assert!(after > 200);
        assert_eq!(listener.session.stats().srtp_refused, 0);
    }
}

#[test]
fn one_who_comes_after_the_wrap_is_understood() {
    let mut call = Call::new(Suite::AesCm128HmacSha1_80, 1);
    let mut packets = Vec::new();
    // Our own numbers begin in the lower half; those of others need not.
    let keys = two(Suite::AesCm128HmacSha1_80).0;
    let mut other = Party::new(call.now, 1);
    other.session.configure(call.now, &keys);
    for tick in 0..70_000u32 {
        other.session.tick(call.now + TICK * tick);
        while let Some(packet) = other.session.poll_transmit() {
            if packet.channel == Channel::Rtp {
                let number = u16::from_be_bytes([packet.bytes[2], packet.bytes[3]]);
                if tick > 33_000 && number < 10 {
                    packets.push(packet.bytes.to_vec());
                }
            }
        }
        if packets.len() == 10 {
            break;
        }
    }
    for packet in &packets {
        call.listener.session.handle_packet(call.now, call.here, packet);
    }
    let stats = call.listener.session.stats();
    assert_eq!((stats.received, stats.srtp_refused), (10, 0));
}

#[test]
fn new_keys_in_mid_call_cost_no_word() {
    let mut call = Call::new(Suite::AesCm128HmacSha1_80, 1);
    let said = voice(8_000, 6.0);
    call.say(&said);
    let (now, here) = (call.now, call.here);
    let ssrc = |packet: &[u8]| packet[8..12].to_vec();
    let mut streams = Vec::new();
    for tick in 0..350u32 {
        // Another key each second, and another suite; the packets of the last tick are still under way when the listener has it.
        if tick % 50 == 49 {
            let suite = Suite::ALL[tick as usize / 50 % 4];
            let (ours, theirs, ..) =
                agree(&sealed(100 + (tick / 50) as u8, true, &[suite]), &sealed(2, true, &Suite::ALL))
                    .expect("sealed");
            call.speaker.tick(call.now);
            call.listener.session.configure(call.now, &theirs);
            for (_, packet) in call.speaker.sent.drain(..) {
                streams.push(ssrc(&packet));
                call.listener.session.handle_packet(call.now, here, &packet);
            }
            call.now += TICK;
            call.listener.tick(call.now);
            call.speaker.session.configure(call.now, &ours);
            continue;
        }
        // Said again without a change: nothing begins anew.
        let at = now + TICK * tick;
        call.step(|listener, packet| {
            streams.push(ssrc(&packet));
            listener.handle_packet(at, here, &packet);
        });
    }
    streams.dedup();
    assert_eq!(streams.len(), 7, "each key has a stream of its own");
    let stats = call.listener.session.stats();
    assert_eq!((stats.srtp_refused, stats.srtp_replayed, stats.received), (0, 0, 350));
    let (_, snr) = best_fit(&said[..40_000], &call.listener.heard);
    assert!(snr > 20.0, "{snr:.1} dB over seven changes of key");
}

#[test]
fn an_agreement_said_again_changes_nothing() {
    let mut call = Call::new(Suite::AeadAes256Gcm, 1);
    let (ours, theirs) = two(Suite::AeadAes256Gcm);
    let (now, here) = (call.now, call.here);
    let mut numbers = Vec::new();
    for tick in 0..100u32 {
        if tick % 10 == 5 {
            call.speaker.session.configure(call.now, &ours);
            call.listener.session.configure(call.now, &theirs);
        }
        call.step(|listener, packet| {
            numbers.push((packet[8..12].to_vec(), u16::from_be_bytes([packet[2], packet[3]])));
            listener.handle_packet(now + TICK * tick, here, &packet);
        });
    }
    assert!(numbers.windows(2).all(|two| two[0].0 == two[1].0 && two[1].1 == two[0].1 + 1));
    assert_eq!(call.listener.session.stats().received, 100);
}

#[test]
fn reports_are_sealed_too_and_tell_the_round_trip() {
    for (suite, shared) in Suite::ALL.into_iter().flat_map(|suite| [(suite, false), (suite, true)]) {
        let began = start();
        let (mut ours, mut theirs) = two(suite);
        (ours.rtcp_mux, theirs.rtcp_mux) = (shared, shared);
        let config = |seed| SessionConfig { ssrc_seed: seed, ..SessionConfig::default() };
        let mut sessions = [MediaSession::new(config(1), began), MediaSession::new(config(2), began)];
        sessions[0].configure(began, &ours);
        sessions[1].configure(began, &theirs);
        let addresses = [address(1, 4_000), address(2, 5_000)];
        let mut reports = Vec::new();
        for tick in 0..1_000u32 {
            let now = began + TICK * tick;
            for from in [0, 1] {
                sessions[from].tick(now);
                let mut under_way = Vec::new();
                while let Some(packet) = sessions[from].poll_transmit() {
                    under_way.push((packet.channel, packet.bytes.to_vec()));
                }
                for (channel, packet) in under_way {
                    let is_report = (192..=223).contains(&packet[1]);
                    assert_eq!(is_report && !shared, channel == Channel::Rtcp);
                    match channel {
                        Channel::Rtp if is_report => {
                            sessions[1 - from].handle_packet(now + TICK * 2, addresses[from], &packet);
                            reports.push(packet);
                        }
                        Channel::Rtp => sessions[1 - from].handle_packet(now, addresses[from], &packet),
                        Channel::Rtcp => {
                            sessions[1 - from].handle_rtcp(now + TICK * 2, addresses[from], &packet);
                            reports.push(packet);
                        }
                    }
                }
                while sessions[from].poll_event().is_some() {}
            }
        }
        assert!(reports.len() > 4);
        let stats = sessions[0].stats();
        assert_eq!((stats.srtp_refused, stats.srtp_replayed), (0, 0));
        // 40 ms there and 40 ms back.
        assert!(stats.round_trip_ms.is_some_and(|trip| (trip - 80.0).abs() < 25.0), "{suite:?}: {stats:?}");
        // Damaged, in clear, of ourselves, or again.
        let before = sessions[0].stats().round_trip_ms;
        for report in &reports {
            let mut damaged = report.clone();
            damaged[20] ^= 1;
            sessions[0].handle_rtcp(began, addresses[1], &damaged);
            sessions[0].handle_rtcp(began, addresses[1], report);
        }
        sessions[0].handle_rtcp(began, addresses[1], &[0x80, 201, 0, 1, 0, 0, 0, 7]);
        let stats = sessions[0].stats();
        assert_eq!(stats.srtp_refused + stats.srtp_replayed, 2 * reports.len() as u64 + 1);
        assert!(stats.srtp_refused > 0 && stats.srtp_replayed > 0, "{stats:?}");
        assert_eq!(stats.round_trip_ms, before);
    }
}
