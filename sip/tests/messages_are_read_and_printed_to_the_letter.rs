//! Golden messages: what phones and carriers really send, and what we make of it.

use sip::message::{Defect, Head, Message, ParseError, Request, Response, parse};
use sip::{Host, NameAddr, Transport, Uri};

fn request(text: &str) -> Request {
    match parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn response(text: &[u8]) -> Response {
    match parse(text) {
        Ok(Message::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

fn name_addr(text: &str) -> NameAddr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

const HEAD: &str =
    "Via: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: i\r\n";

fn with(line: &str) -> String {
    format!("INVITE sip:c@d SIP/2.0\r\n{HEAD}CSeq: 1 INVITE\r\n{line}\r\n\r\n")
}

#[test]
fn a_message_prints_as_it_was_read() {
    let text = "INVITE sip:bob@[2001:db8::1]:5070;transport=udp SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776;rport\r\n\
        From: \"A \\\"B\\\" C\" <sip:a@b>;tag=1\r\nTo: <sip:bob@[2001:db8::1]>\r\nCall-ID: abc@h\r\nCSeq: 314159 INVITE\r\n\
        X-Odd: , ;,\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";
    let request = request(text);
    assert_eq!(String::from_utf8_lossy(&request.to_bytes()), text);
}

#[test]
fn compact_names_folds_and_bare_line_feeds() {
    let read = request(
        "\r\n\r\nINVITE sip:c@d SIP/2.0\nv:SIP/2.0/UDP h;branch=z9hG4bKx\nf: <sip:a@b>\n ;tag=1\nt  :\t<sip:c@d>\ni:id\n\
         CSEQ: 1\n\tINVITE\nm: <sip:a@h>\nc: application/sdp\nk: timer, 100rel\ns: hi\nl: 2\n\nabcdef",
    );
    let head = Head::of_request(&read).expect("whole");
    assert_eq!(head.from.tag(), Some("1"));
    assert_eq!(head.call_id, "id");
    assert_eq!(read.headers.list("supported"), ["timer", "100rel"]);
    assert!(read.headers.has_option("k", "100REL"));
    assert_eq!(&read.body[..], b"ab");
    let printed = String::from_utf8_lossy(&read.to_bytes()).into_owned();
    assert!(printed.contains("\r\nCall-ID: id\r\n") && printed.contains("\r\nSubject: hi\r\n"), "{printed}");
}

#[test]
fn a_display_name_cannot_pose_as_a_uri() {
    let from = name_addr("\"<sip:ceo@bank.example>\" <sip:scam@evil.example>;tag=x");
    assert_eq!(from.uri.to_string(), "sip:scam@evil.example");
    assert_eq!(from.display.as_deref(), Some("<sip:ceo@bank.example>"));
    let from = name_addr("\"a\\\" <sip:x@y>;tag=0, \" <sip:real@h;lr>;tag=q");
    assert_eq!((from.uri.to_string().as_str(), from.tag()), ("sip:real@h;lr", Some("q")));
    // Printed and read again, it is still the same.
    assert_eq!(name_addr(&from.to_string()), from);
}

#[test]
fn name_addrs_of_every_shape() {
    for (text, display, uri, tag) in [
        ("sip:a@b;tag=1", None, "sip:a@b", Some("1")),
        ("<sip:a@b;x=y>;tag=1", None, "sip:a@b;x=y", Some("1")),
        ("Anna Bell<sip:a@b>", Some("Anna Bell"), "sip:a@b", None),
        ("\"\" <sip:a@b>", None, "sip:a@b", None),
        (
            "John (Desk) <tel:+1-201-555-0123;phone-context=x>",
            Some("John (Desk)"),
            "tel:+1-201-555-0123;phone-context=x",
            None,
        ),
        ("J\u{fc}rgen <sip:j@b>;tag=\"q\"", Some("J\u{fc}rgen"), "sip:j@b", Some("\"q\"")),
        ("<sips:a@b?subject=x>", None, "sips:a@b?subject=x", None),
        ("< sip:a@b >", None, "sip:a@b", None),
    ] {
        let read = name_addr(text);
        assert_eq!(
            (read.display.as_deref(), read.uri.to_string().as_str(), read.tag()),
            (display, uri, tag),
            "{text}"
        );
    }
    for bad in [
        "",
        "<",
        "<>",
        "\"open <sip:a@b>",
        "<sip:a@b",
        "a, b <sip:a@b>",
        "sip:a@b?x=y",
        "<sip:a@b>;;",
        "<sip:a@b>;=x",
        "<sip:a@b> x",
        "x\" <sip:a@b>",
    ] {
        assert!(bad.parse::<NameAddr>().is_err(), "{bad}");
    }
}

#[test]
fn uris_of_every_shape() {
    let uri = |text: &str| text.parse::<Uri>().unwrap_or_else(|error| panic!("{text}: {error}"));
    for text in [
        "sip:a@b",
        "sip:b",
        "sips:a:pw@b:5061;transport=tls?x=y",
        "sip:+15551234567;npdi@carrier.example;user=phone",
        "sip:[2001:db8::10]",
        "sip:a@[::1]:5070;transport=tcp",
        "sip:a@192.0.2.1:5060;lr",
        "tel:+1-201-555-0123",
        "tel:7042;phone-context=example.com",
        "urn:service:sos",
        "soap.beep://192.0.2.103:3002",
        "sip:*97@pbx",
        "sip:%61@b;%6C%72",
        "sip:a_b@my_host.example",
    ] {
        assert_eq!(uri(text).to_string(), text);
    }
    for bad in [
        "",
        "sip",
        "sip:",
        "sip:@b",
        "sip:a@",
        "sip:a@@b",
        "sip:a@b@c",
        "sip:a@b:0",
        "sip:a@b:65536",
        "sip:a@b:",
        "sip:a@b:5 060",
        "sip:a b@c",
        "sip:a@[::1",
        "sip:a@[zz]",
        "sip:a@b%",
        "sip:%4@b",
        "sip:%zz@b",
        "sip:a@b>",
        "tel:",
        "tel:+",
        "tel:+abc",
        "tel:xyz",
        "1sip:a@b",
        "sip:a@b/c",
        "sip:a@.b",
        ":a",
        "sip::a@b",
    ] {
        assert!(bad.parse::<Uri>().is_err(), "{bad}");
    }
    assert_eq!(uri("SIP:A@EXAMPLE.com").host(), Some(&Host::Name("example.com".into())));
    assert_eq!(uri("sip:%2B1%20(201)@b").user().as_deref(), Some("+1 (201)"));
    assert_eq!(uri("sip:+1-201-555.0123;isub=1@b").number().as_deref(), Some("+12015550123"));
    assert_eq!(uri("tel:+1(201)555").number().as_deref(), Some("+1201555"));
    assert_eq!(uri("sip:*97@b").number().as_deref(), Some("*97"));
    assert_eq!(uri("sip:alice@b").number(), None);
    assert_eq!(uri("sip:b").number(), None);
    assert_eq!(uri("sip:a@b").transport(), Some(Transport::Udp));
    assert_eq!(uri("sip:a@b;transport=TCP").transport(), Some(Transport::Tcp));
    assert_eq!(uri("sips:a@b").transport(), Some(Transport::Tls));
    assert_eq!(uri("sip:a@b;transport=sctp").transport(), None);
    assert_eq!(Uri::sip(Some("a b#@c"), Host::Name("h".into()), None).to_string(), "sip:a%20b%23%40c@h");
}

#[test]
fn bytes_that_are_no_utf_8_come_through() {
    let mut bytes = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: \"J\xfcrgen\" <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=\xe9\r\nCall-ID: i\r\nCSeq: 1 INVITE\r\nContent-Length: 4\r\n\r\n".to_vec();
    bytes.extend([0, 255, 13, 10]);
    let read = response(&bytes);
    let head = Head::of_response(&read).expect("whole");
    assert_eq!(head.from.display.as_deref(), Some("J\u{fc}rgen"));
    assert_eq!(&read.body[..], [0, 255, 13, 10]);
    assert_eq!(&read.to_bytes()[..], &bytes[..]);
}

#[test]
fn what_is_not_sip_is_said_so() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x00\x01\x00\x00!\x12\xa4B",
        b"INVITE",
        b"a b c\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
        b"SIP/2.0\r\n\r\n",
    ] {
        assert_eq!(parse(bytes), Err(ParseError::NotSip), "{bytes:?}");
    }
    for bytes in [&b""[..], b"\r\n\r\n", b"\r\n"] {
        assert_eq!(parse(bytes), Err(ParseError::KeepAlive));
    }
    for status in ["0", "99", "1000", "2x0", "700", "+20", ""] {
        let text = format!("SIP/2.0 {status} x\r\n\r\n");
        assert_eq!(parse(text.as_bytes()), Err(ParseError::BadResponse(Defect::Status)), "{status}");
    }
}

#[test]
fn defects_are_named() {
    let defect = |text: &str| match parse(text.as_bytes()) {
        Ok(Message::Request(request)) => Head::of_request(&request).expect_err("a defect"),
        Err(ParseError::BadRequest { defect, .. }) => defect,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(defect(&with("Content-Length: 1")), Defect::Truncated);
    assert_eq!(defect(&with("Content-Length: x")), Defect::ContentLength);
    assert_eq!(defect(&with("Content-Length: 99999999999999999999999")), Defect::ContentLength);
    assert_eq!(defect(&with("Content-Length: 0\r\nl: 1")), Defect::Repeated("Content-Length"));
    assert_eq!(defect(&with("no colon here")), Defect::HeaderLine);
    assert_eq!(defect(&with("bad name: x")), Defect::HeaderLine);
    assert_eq!(defect(&with(": x")), Defect::HeaderLine);
    assert_eq!(defect(&with("X: a\rb")), Defect::HeaderLine);
    assert_eq!(defect(&with("From: <sip:x@y>;tag=2")), Defect::Repeated("From"));
    assert_eq!(defect(&with("Max-Forwards: 256")), Defect::Bad("Max-Forwards"));
    assert_eq!(defect(&with("Contact: <sip:a@b")), Defect::Bad("Contact"));
    assert_eq!(defect(&format!("INVITE sip:c@d SIP/2.0\r\n{HEAD}CSeq: 1 BYE\r\n\r\n")), Defect::CSeqMethod);
    assert_eq!(
        defect(&format!("INVITE sip:c@d SIP/2.0\r\n{HEAD}CSeq: 2147483648 INVITE\r\n\r\n")),
        Defect::Bad("CSeq")
    );
    assert_eq!(defect(&format!("INVITE sip:c@d SIP/2.0\r\n{HEAD}\r\n")), Defect::Missing("CSeq"));
    assert_eq!(defect(&format!("INVITE sip:c@d SIP/2.0\r\n{HEAD}CSeq: 1 INVITE")), Defect::HeaderLine);
}

#[test]
fn no_value_starts_a_header_of_its_own() {
    let mut request = request(&with("X: 1"));
    request.headers.push("X-Evil", "a\r\nBcc: b\n\nbody");
    let printed = String::from_utf8_lossy(&request.to_bytes()).into_owned();
    assert!(printed.contains("X-Evil: a  Bcc: b  body\r\n"), "{printed}");
    let evil = NameAddr::new(Some("a\"\r\nX: y".into()), "sip:a@b".parse().expect("a uri"));
    assert_eq!(evil.to_string(), "\"a\\\"X: y\" <sip:a@b>");
}
