//! parse ∘ print = identity, over generated URIs, name-addrs, Vias and whole messages; and no panic on anything.

use proptest::prelude::*;
use sip::message::{Message, Via, parse};
use sip::{Host, NameAddr, Uri, fuzzing};

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,10}(\\.[a-z]{2,5}){0,2}".prop_map(Host::Name),
        any::<[u8; 4]>().prop_map(|ip| Host::V4(ip.into())),
        any::<[u16; 8]>().prop_map(|ip| Host::V6(ip.into())),
    ]
}

fn port() -> impl Strategy<Value = Option<u16>> {
    proptest::option::of(1_u16..)
}

fn uri_params() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-z]{1,6}(=[a-zA-Z0-9/:&+$.-]{1,8})?", 0..4)
        .prop_map(|all| all.iter().map(|one| format!(";{one}")).collect())
}

fn sip_uri() -> impl Strategy<Value = String> {
    let user = proptest::option::of("([a-zA-Z0-9_.!~*'()&=+$,;?/-]|%[0-9a-fA-F]{2}){1,20}");
    let headers = proptest::option::of("[a-z]{1,5}=[a-z%4-7]{0}[a-z0-9]{0,5}");
    ("sips?", user, host(), port(), uri_params(), headers).prop_map(
        |(scheme, user, host, port, params, headers)| {
            let user = user.map_or_else(String::new, |user| format!("{user}@"));
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            let headers = headers.map_or_else(String::new, |headers| format!("?{headers}"));
            format!("{scheme}:{user}{host}{port}{params}{headers}")
        },
    )
}

fn any_uri() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => sip_uri(),
        1 => ("\\+?[0-9]([0-9.()-]){0,14}", uri_params()).prop_map(|(number, params)| format!("tel:{number}{params}")),
        1 => "(urn|mailto|isbn|soap\\.beep):[a-z0-9:/@.-]{1,20}",
    ]
}

fn header_params() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        "[a-zA-Z0-9+.-]{1,8}(=([a-zA-Z0-9.!%*_+`'~-]{1,8}|\"([ !#-\\[\\]-~]|\\\\[ -~])*\"))?",
        0..4,
    )
    .prop_map(|all| all.iter().map(|one| format!(";{one}")).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_uri(text in any_uri()) {
        let uri: Uri = text.parse().map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(uri.to_string(), text);
    }

    #[test]
    fn a_user_of_any_text(user in "\\PC{1,20}", host in host(), port in port()) {
        let uri = Uri::sip(Some(&user), host, port);
        let again: Uri = uri.to_string().parse().map_err(|e| TestCaseError::fail(format!("{uri}: {e}")))?;
        prop_assert_eq!(&again, &uri);
        prop_assert_eq!(again.user(), Some(user));
    }

    #[test]
    fn a_name_addr_with_any_display(display in "[^\r\n]{0,30}", uri in any_uri(), params in header_params()) {
        let plain: NameAddr = format!("<{uri}>{params}").parse().map_err(|e| TestCaseError::fail(format!("{uri} {params}: {e}")))?;
        let named = NameAddr { display: Some(display).filter(|d| !d.is_empty()), ..plain };
        let again: NameAddr = named.to_string().parse().map_err(|e| TestCaseError::fail(format!("{named}: {e}")))?;
        prop_assert_eq!(again, named);
    }

    #[test]
    fn a_via(transport in "(UDP|TCP|TLS|WSS|X)", host in host(), port in port(), params in header_params()) {
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let text = format!("SIP/2.0/{transport} {host}{port}{params}");
        let via: Via = text.parse().map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(via.to_string(), text);
    }

    #[test]
    fn a_message(
        method in "[A-Za-z0-9.!%*_+`'~-]{1,12}",
        uri in any_uri(),
        headers in proptest::collection::vec(("X-[A-Za-z0-9-]{1,12}", "[!-~\u{a1}-\u{17f}]([ -~\u{a1}-\u{17f}]{0,30}[!-~])?"), 0..8),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        status in proptest::option::of(100_u16..700),
    ) {
        // A Request-URI has no headers.
        let mut uri: Uri = uri.parse().map_err(|e| TestCaseError::fail(format!("{uri}: {e}")))?;
        if let Uri::Sip(sip) = &mut uri {
            sip.headers = None;
        }
        let mut text = match status {
            None => format!("{method} {uri} SIP/2.0\r\n"),
            Some(status) => format!("SIP/2.0 {status} {method}\r\n"),
        };
        for (name, value) in &headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend(&body);
        let message = parse(&bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(&message.to_bytes()[..], &bytes[..]);
        match &message {
            Message::Request(request) => prop_assert_eq!(&request.body[..], &body[..]),
            Message::Response(response) => prop_assert_eq!(&response.body[..], &body[..]),
        }
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::message(&bytes);
    }

    #[test]
    fn any_text(text in "\\PC{0,60}") {
        fuzzing::text(&text);
        fuzzing::params(&text);
    }

    #[test]
    fn any_text_out_of_the_alphabet_of_sip(text in "(sip:|sips:|tel:|[a-c0-2<>\"@;:,=%.\\\\ ?\\[\\]/*+-]){0,40}") {
        fuzzing::text(&text);
        fuzzing::params(&text);
        fuzzing::message(format!("INVITE {text} SIP/2.0\r\nFrom: {text}\r\nVia: {text}\r\n\r\n").as_bytes());
    }
}
