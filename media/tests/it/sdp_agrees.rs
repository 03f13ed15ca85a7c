//! Offer and answer with descriptions as real peers write them.

use std::net::SocketAddr;

use media::sdp::{self, Capabilities, Codec, Direction, LocalMedia, NegotiateError, ParseError};

/// Offers in the manner of well-known peers. Written for this test.
pub const OFFERS: &[(&str, &str)] = &[
    ("baresip", BARESIP),
    ("sipp", SIPP),
    ("asterisk", ASTERISK),
    ("freeswitch", FREESWITCH),
    ("carrier", CARRIER),
    ("browser-like", VIDEO_FIRST),
];

const BARESIP: &str = "v=0\r\no=- 3910473456 1170423941 IN IP4 127.0.0.3\r\ns=-\r\nc=IN IP4 127.0.0.3\r\nt=0 0\r\na=tool:baresip 1.0.0\r\nm=audio 20014 RTP/AVP 0 8 101\r\nb=AS:125\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:20015\r\na=sendrecv\r\na=label:1\r\na=rtcp-rsize\r\na=ssrc:2814236733 cname:sip:alice@127.0.0.3\r\na=ptime:20\r\n";

/// No rtpmap for the static type, and bare line feeds.
const SIPP: &str = "v=0\no=user1 53655765 2353687637 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 0\n\n";

const ASTERISK: &str = "v=0\r\no=- 1894562371 1894562371 IN IP4 198.51.100.7\r\ns=Asterisk\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 11830 RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n";

const FREESWITCH: &str = "v=0\r\no=FreeSWITCH 1763767893 1763767894 IN IP4 203.0.113.20\r\ns=FreeSWITCH\r\nc=IN IP4 203.0.113.20\r\nt=0 0\r\nm=audio 27544 RTP/AVP 102 0 8 103 101 13\r\na=rtpmap:102 opus/48000/2\r\na=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:103 telephone-event/48000\r\na=fmtp:103 0-16\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\n";

/// Dynamic numbers for everything, the address and the direction at the session, 30 ms.
const CARRIER: &str = "v=0\r\no=sbc 0 0 IN IP6 2001:db8::5\r\ns=sip call\r\nc=IN IP6 2001:db8::5\r\nt=0 0\r\na=sendonly\r\nm=audio 40000 RTP/AVP 97 96\r\na=rtpmap:97 telephone-event/8000\r\na=rtpmap:96 pcma/8000/1\r\na=ptime:30\r\na=rtcp:53020 IN IP6 2001:db8::6\r\n";

const VIDEO_FIRST: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=video 5002 RTP/AVP 96\r\nc=IN IP4 192.0.2.1\r\na=rtpmap:96 H264/90000\r\nm=audio 0 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\nm=audio 5004 RTP/AVP 18\r\nc=IN IP4 192.0.2.2\r\nm=audio 5006 RTP/AVP 8\r\nc=IN IP4 192.0.2.3\r\nm=image 5008 udptl t38\r\nc=IN IP4 192.0.2.1\r\n";

fn local() -> LocalMedia {
    LocalMedia { ip: [192, 0, 2, 99].into(), port: 16_400, session_id: 77, version: 3 }
}

fn answer(offer: &str) -> (String, sdp::Negotiated) {
    let (answer, agreed) =
        sdp::answer(offer.as_bytes(), &Capabilities::default(), &local()).expect("agreement");
    (String::from_utf8(answer).expect("text"), agreed)
}

fn with(offer: &str, from: &str, to: &str) -> String {
    assert!(offer.contains(from));
    offer.replace(from, to)
}

#[test]
fn our_answer_to_the_letter() {
    let golden = "v=0\r\no=- 77 3 IN IP4 192.0.2.99\r\ns=-\r\nc=IN IP4 192.0.2.99\r\nt=0 0\r\nm=audio 16400 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp:16401\r\na=sendrecv\r\n";
    assert_eq!(answer(BARESIP).0, golden);
    let video = answer(VIDEO_FIRST).0;
    let lines: Vec<&str> = video.lines().filter(|line| line.starts_with("m=")).collect();
    let golden = [
        "m=video 0 RTP/AVP 96",
        "m=audio 0 RTP/AVP 0",
        "m=audio 0 RTP/AVP 18",
        "m=audio 16400 RTP/AVP 8",
        "m=image 0 UDPTL t38",
    ];
    assert_eq!(lines, golden);
}

#[test]
fn offers_of_all_kinds_of_peers_are_understood() {
    #[allow(clippy::type_complexity)]
    let expected: [(&str, Codec, u8, Option<u8>, &str, &str, Direction, u8); 6] = [
        ("baresip", Codec::Pcmu, 0, Some(101), "127.0.0.3:20014", "127.0.0.3:20015", Direction::SendRecv, 20),
        ("sipp", Codec::Pcmu, 0, None, "127.0.0.1:6000", "127.0.0.1:6001", Direction::SendRecv, 20),
        (
            "asterisk",
            Codec::Pcmu,
            0,
            Some(101),
            "198.51.100.7:11830",
            "198.51.100.7:11831",
            Direction::SendRecv,
            20,
        ),
        (
            "freeswitch",
            Codec::Pcmu,
            0,
            Some(101),
            "203.0.113.20:27544",
            "203.0.113.20:27545",
            Direction::SendRecv,
            20,
        ),
        (
            "carrier",
            Codec::Pcma,
            96,
            Some(97),
            "[2001:db8::5]:40000",
            "[2001:db8::6]:53020",
            Direction::RecvOnly,
            30,
        ),
        ("browser-like", Codec::Pcma, 8, None, "192.0.2.3:5006", "192.0.2.3:5007", Direction::SendRecv, 20),
    ];
    for (offer, (name, codec, payload_type, dtmf, remote, rtcp, direction, ptime)) in
        OFFERS.iter().zip(expected)
    {
        assert_eq!(offer.0, name);
        let (text, agreed) = answer(offer.1);
        assert_eq!(
            (agreed.codec, agreed.payload_type, agreed.dtmf_payload_type),
            (codec, payload_type, dtmf),
            "{name}"
        );
        let sockets = [remote, rtcp].map(|socket| socket.parse::<SocketAddr>().expect("a socket"));
        assert_eq!([agreed.remote, agreed.remote_rtcp], sockets, "{name}");
        assert_eq!((agreed.direction, agreed.ptime_ms), (direction, ptime), "{name}");
        // The other side can take our answer for what it means.
        let theirs = sdp::accept(text.as_bytes(), &Capabilities::default()).expect("a fitting answer");
        assert_eq!(
            (theirs.codec, theirs.payload_type, theirs.dtmf_payload_type),
            (codec, payload_type, dtmf)
        );
        assert_eq!(theirs.remote, SocketAddr::new(local().ip, 16_400));
        assert_eq!(theirs.direction, direction.reversed());
    }
}

#[test]
fn what_we_offer_can_be_answered_and_the_answer_read() {
    for direction in [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive] {
        let offer = sdp::offer(&Capabilities::default(), &local(), direction);
        let theirs = LocalMedia {
            ip: "2001:db8::9".parse().expect("an address"),
            port: 9_000,
            session_id: 5,
            version: 1,
        };
        let (text, agreed) = sdp::answer(&offer, &Capabilities::default(), &theirs).expect("agreement");
        assert_eq!(agreed.direction, direction.reversed());
        let ours = sdp::accept(&text, &Capabilities::default()).expect("agreement");
        assert_eq!(ours.direction, direction);
        assert_eq!(ours.remote, "[2001:db8::9]:9000".parse().expect("a socket"));
    }
    let plain = Capabilities {
        codecs: vec![Codec::Pcma],
        ptime_ms: 35,
        dtmf: false,
        rtcp_mux: false,
        ..Capabilities::default()
    };
    let text = String::from_utf8(sdp::offer(&plain, &local().bumped(), Direction::SendRecv)).expect("text");
    assert!(text.contains("o=- 77 4 ") && text.contains("RTP/AVP 8\r\n") && text.contains("a=ptime:30\r\n"));
}

#[test]
fn our_preference_decides_and_dtmf_only_if_both_have_it() {
    let pcma_first = Capabilities { codecs: vec![Codec::Pcma, Codec::Pcmu], ..Capabilities::default() };
    let agreed = sdp::answer(BARESIP.as_bytes(), &pcma_first, &local()).expect("agreement").1;
    assert_eq!(agreed.codec, Codec::Pcma);
    let deaf = Capabilities { dtmf: false, ..Capabilities::default() };
    let (text, agreed) = sdp::answer(BARESIP.as_bytes(), &deaf, &local()).expect("agreement");
    assert_eq!(agreed.dtmf_payload_type, None);
    assert!(!String::from_utf8(text).expect("text").contains("telephone-event"));
    // telephone-event at 48 kHz goes with Opus, not with us.
    let wide = with(FREESWITCH, "a=rtpmap:101 telephone-event/8000\r\n", "");
    assert_eq!(answer(&wide).1.dtmf_payload_type, None);
}

#[test]
fn opus_is_agreed_with_its_parameters_and_the_keys_of_its_clock() {
    let opus = Capabilities { codecs: vec![Codec::Opus, Codec::Pcmu], ..Capabilities::default() };
    let (text, agreed) = sdp::answer(FREESWITCH.as_bytes(), &opus, &local()).expect("agreement");
    let text = String::from_utf8(text).expect("text");
    assert_eq!((agreed.codec, agreed.payload_type), (Codec::Opus, 102));
    assert_eq!((agreed.dtmf_payload_type, agreed.dtmf_clock), (Some(103), 48_000));
    assert_eq!(agreed.comfort_noise, None, "its clock is another");
    assert!(agreed.opus.fec && agreed.opus.bitrate == 30_000 && !agreed.opus.dtx);
    for line in [
        "m=audio 16400 RTP/AVP 102 103\r\n",
        "a=rtpmap:102 opus/48000/2\r\n",
        "a=fmtp:102 maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=32000;stereo=0;sprop-stereo=0;useinbandfec=1;usedtx=0\r\n",
        "a=rtpmap:103 telephone-event/48000\r\na=fmtp:103 0-15\r\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let theirs = sdp::accept(text.as_bytes(), &opus).expect("agreement");
    assert_eq!((theirs.codec, theirs.dtmf_clock, theirs.opus), (Codec::Opus, 48_000, opus.opus));
    // Many speak Opus, and know the keys by the old clock alone.
    let old = with(FREESWITCH, "a=rtpmap:103 telephone-event/48000\r\n", "");
    let agreed = sdp::answer(old.as_bytes(), &opus, &local()).expect("agreement").1;
    assert_eq!((agreed.dtmf_payload_type, agreed.dtmf_clock), (Some(101), 8_000));
    // Our own offer names the keys by both.
    let offer = String::from_utf8(sdp::offer(&Capabilities::default(), &local(), Direction::SendRecv));
    let offer = offer.expect("text");
    assert!(offer.contains("m=audio 16400 RTP/AVP 0 8 9 111 101 102\r\n"), "{offer}");
}

#[test]
fn comfort_noise_is_taken_where_it_is_offered_and_never_asked_for() {
    let (text, agreed) = answer(FREESWITCH);
    assert_eq!(agreed.comfort_noise, Some(13));
    assert!(text.contains(" RTP/AVP 0 101 13\r\n") && text.contains("a=rtpmap:13 CN/8000\r\n"), "{text}");
    let text = String::from_utf8(sdp::offer(&Capabilities::default(), &local(), Direction::SendRecv));
    assert!(!text.expect("text").contains("CN/"));
    let continuous = Capabilities { comfort_noise: false, ..Capabilities::default() };
    let agreed = sdp::answer(FREESWITCH.as_bytes(), &continuous, &local()).expect("agreement").1;
    assert_eq!(agreed.comfort_noise, None);
}

#[test]
fn rtp_and_rtcp_share_a_port_where_both_like_it() {
    let muxed = with(BARESIP, "a=rtcp-rsize", "a=rtcp-mux\r\na=rtcp-xr:rcvr-rtt=all voip-metrics");
    let (text, agreed) = answer(&muxed);
    assert!(text.ends_with("a=sendrecv\r\na=rtcp-mux\r\na=rtcp-xr:voip-metrics\r\n"), "{text}");
    assert!(agreed.rtcp_mux && agreed.rtcp_xr);
    assert_eq!(agreed.remote_rtcp, agreed.remote);
    // Who does not say it, or says it where we do not, keeps the two apart.
    let (text, agreed) = answer(BARESIP);
    assert!(!text.contains("mux") && !agreed.rtcp_mux && !agreed.rtcp_xr);
    let apart = Capabilities { rtcp_mux: false, ..Capabilities::default() };
    let (text, agreed) = sdp::answer(muxed.as_bytes(), &apart, &local()).expect("agreement");
    assert!(!String::from_utf8(text).expect("text").contains("rtcp-mux") && !agreed.rtcp_mux);
    assert_eq!(agreed.remote_rtcp, "127.0.0.3:20015".parse().expect("a socket"));
    // A payload type that looks like an RTCP packet where its marker is set.
    let low = muxed.replace("RTP/AVP 0 8 101", "RTP/AVP 0 8 72").replace(":101", ":72");
    assert_eq!((answer(&low).1.dtmf_payload_type, answer(&low).1.rtcp_mux), (Some(72), false));
    // We offer it, and take an answer with it and without.
    let offer = sdp::offer(&Capabilities::default(), &local(), Direction::SendRecv);
    let offer = String::from_utf8(offer).expect("text");
    assert!(offer.contains("a=rtcp:16401\r\n") && offer.contains("a=rtcp-mux\r\n"), "{offer}");
    let accept = |answer: &str| sdp::accept(answer.as_bytes(), &Capabilities::default()).expect("agreement");
    assert!(accept(&muxed).rtcp_mux && !accept(BARESIP).rtcp_mux);
}

#[test]
fn hold_in_all_its_forms() {
    for (words, ours) in [
        ("a=sendonly", Direction::RecvOnly),
        ("a=recvonly", Direction::SendOnly),
        ("a=inactive", Direction::Inactive),
        ("a=sendrecv", Direction::SendRecv),
    ] {
        let (text, agreed) = answer(&with(BARESIP, "a=sendrecv", words));
        assert_eq!(agreed.direction, ours);
        assert!(text.contains(&format!("a={}\r\n", ours.as_str())));
        assert_eq!(agreed.held(), !ours.sends());
    }
    // As RFC 2543 had it.
    let (text, agreed) = answer(&with(BARESIP, "c=IN IP4 127.0.0.3", "c=IN IP4 0.0.0.0"));
    assert_eq!(agreed.direction, Direction::RecvOnly);
    assert!(text.contains("a=recvonly\r\n") && agreed.remote.ip().is_unspecified());
    // The stream's word goes before the session's.
    let both = with(CARRIER, "a=ptime:30", "a=inactive\r\na=ptime:30");
    assert_eq!(answer(&both).1.direction, Direction::Inactive);
}

#[test]
fn ptime_is_what_they_wish_as_far_as_we_can() {
    for (words, ptime) in [
        ("a=ptime:10", 10),
        ("a=ptime:40", 40),
        ("a=ptime:60", 60),
        ("a=ptime:200", 60),
        ("a=ptime:25", 20),
        ("a=ptime:1", 10),
        ("a=ptime:0", 20),
        ("a=ptime:20.0", 20),
        ("a=ptime:NaN", 20),
        ("a=ptime:forty", 20),
        ("a=ptime:60\r\na=maxptime:30", 30),
        ("a=maxptime:10", 10),
    ] {
        assert_eq!(answer(&with(BARESIP, "a=ptime:20", words)).1.ptime_ms, ptime, "{words}");
    }
}

#[test]
fn what_cannot_be_agreed_has_a_name_and_a_status() {
    let refuse =
        |offer: &str| sdp::answer(offer.as_bytes(), &Capabilities::default(), &local()).expect_err("refusal");
    let g729 = with(SIPP, "RTP/AVP 0", "RTP/AVP 18 3");
    let error = refuse(&g729);
    assert_eq!(
        error,
        NegotiateError::NoCommonCodec { offered: "18 3".into(), ours: "PCMU PCMA G722 opus".into() }
    );
    assert_eq!(error.status(), 488);
    // A number that is static elsewhere may be given another meaning.
    let redefined = with(
        BARESIP,
        "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 L16/16000\r\na=rtpmap:8 G728/8000",
    );
    assert!(
        matches!(refuse(&redefined), NegotiateError::NoCommonCodec { offered, .. } if offered.contains("L16/16000"))
    );
    for offer in [
        with(SIPP, "m=audio 6000", "m=audio 0"),
        with(SIPP, "RTP/AVP", "RTP/SAVP"),
        with(SIPP, "c=IN IP4 127.0.0.1\n", ""),
        with(SIPP, "c=IN IP4 127.0.0.1\n", "c=IN IP4 phone.example\n"),
        with(SIPP, "m=audio", "m=video"),
        "v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nt=0 0\r\n".to_owned(),
    ] {
        let error = refuse(&offer);
        assert!(matches!(error, NegotiateError::NoAudio(_)), "{offer}");
        assert_eq!(error.status(), 488);
    }
    for (offer, why) in [
        (String::new(), ParseError::Empty),
        ("hello".to_owned(), ParseError::Version),
        ("v=0\r\nm=audio\r\n".to_owned(), ParseError::Medium { line: 2 }),
        ("v=0\r\nm=audio 70000 RTP/AVP 0\r\n".to_owned(), ParseError::Medium { line: 2 }),
        ("v=0\n\nhello\n".to_owned(), ParseError::Line { line: 3 }),
        ("v=0\r\n".to_owned() + &"m=video 0 x 0\r\n".repeat(65), ParseError::TooManyMedia),
        ("v=0\r\n".to_owned() + &"a=x\r\n".repeat(20_000), ParseError::TooLong),
    ] {
        let error = refuse(&offer);
        assert_eq!((error.status(), error), (400, NegotiateError::Malformed(why)));
    }
}

#[test]
fn sloppy_descriptions_are_taken() {
    for sloppy in [
        ASTERISK.replace("\r\n", "\r"),
        ASTERISK.replace("\r\n", " \r\n"),
        with(ASTERISK, "s=Asterisk\r\n", ""),
        with(ASTERISK, "t=0 0", "t=0"),
        with(ASTERISK, "o=- 1894562371 1894562371", "o=- abc -5"),
        with(ASTERISK, "t=0 0\r\n", "t=0 0\r\nx=1\r\n"),
        format!("{ASTERISK}\0"),
    ] {
        assert_eq!(answer(&sloppy).1, answer(ASTERISK).1, "{sloppy}");
    }
    let mut latin = ASTERISK.replace("s=Asterisk", "s=Caf@").into_bytes();
    let at = latin.iter().position(|&byte| byte == b'@').expect("there");
    latin[at] = 0xe9;
    assert!(sdp::answer(&latin, &Capabilities::default(), &local()).is_ok());
}
