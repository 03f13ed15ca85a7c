//! Caller identity out and in: every header in every style, privacy, diversion; and what is written reads the same.

use proptest::prelude::*;
use sip::identity::{self, CallerId, Diversion, IdentityStyle, Plus, Privacy};
use sip::{Host, NameAddr, Uri};

fn caller(user: &str) -> CallerId {
    CallerId {
        user: user.into(),
        name: None,
        domain: Host::Name("example.net".into()),
        port: None,
        privacy: Privacy::default(),
        diversion: Vec::new(),
    }
}

fn texts(headers: &[(String, String)]) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

fn name_addr(text: &str) -> NameAddr {
    text.parse().expect("a name-addr")
}

#[test]
fn the_default_is_a_from_and_nothing_else() {
    let style = IdentityStyle::default();
    let anna = CallerId { name: Some("Anna \"A\" Müller".into()), ..caller("+14155550123") };
    assert_eq!(anna.from(&style).to_string(), r#""Anna \"A\" Müller" <sip:+14155550123@example.net>"#);
    assert!(anna.headers(&style).is_empty());
}

#[test]
fn the_plus_is_as_the_carrier_wants_it() {
    let user = |plus, user| {
        let style = IdentityStyle { plus, ..IdentityStyle::default() };
        caller(user).from(&style).uri.user().expect("a user")
    };
    for (plus, given, shown) in [
        (Plus::Keep, "+14155550123", "+14155550123"),
        (Plus::Keep, "14155550123", "14155550123"),
        (Plus::Always, "14155550123", "+14155550123"),
        (Plus::Always, "+14155550123", "+14155550123"),
        (Plus::Never, "+14155550123", "14155550123"),
        (Plus::Never, "14155550123", "14155550123"),
        // No numbers of the world.
        (Plus::Always, "201", "201"),
        (Plus::Always, "03012345678", "03012345678"),
        (Plus::Always, "anna", "anna"),
        (Plus::Never, "+anna", "+anna"),
    ] {
        assert_eq!(user(plus, given), shown, "{plus:?} {given}");
    }
}

#[test]
fn a_telephone_says_that_it_is_one() {
    let style = IdentityStyle { user_phone: true, ..IdentityStyle::default() };
    assert_eq!(caller("+49301").from(&style).to_string(), "<sip:+49301@example.net;user=phone>");
    assert_eq!(caller("anna").from(&style).to_string(), "<sip:anna@example.net>");
    let host = "2001:db8::1".parse().expect("a host");
    assert_eq!(style.address("201", &host, Some(5070)).to_string(), "sip:201@[2001:db8::1]:5070;user=phone");
}

#[test]
fn every_header_that_is_wanted_is_there() {
    let style = IdentityStyle {
        asserted: true,
        preferred: true,
        remote_party: true,
        from_user: Some("account7".into()),
        ..IdentityStyle::default()
    };
    let anna = CallerId { name: Some("Anna".into()), ..caller("+14155550123") };
    assert_eq!(anna.from(&style).to_string(), "Anna <sip:account7@example.net>");
    assert_eq!(
        texts(&anna.headers(&style)),
        [
            "P-Asserted-Identity: Anna <sip:+14155550123@example.net>",
            "P-Preferred-Identity: Anna <sip:+14155550123@example.net>",
            "Remote-Party-ID: Anna <sip:+14155550123@example.net>;party=calling;screen=yes;privacy=off",
        ]
    );
}

#[test]
fn who_wants_no_name_gets_none() {
    let style = IdentityStyle { asserted: true, remote_party: true, ..IdentityStyle::default() };
    let anna = CallerId { name: Some("Anna".into()), privacy: Privacy::id(), ..caller("+14155550123") };
    assert_eq!(anna.from(&style).to_string(), "Anonymous <sip:anonymous@anonymous.invalid>");
    let headers = anna.headers(&style);
    assert_eq!(
        texts(&headers),
        [
            "P-Asserted-Identity: Anna <sip:+14155550123@example.net>",
            "Remote-Party-ID: Anna <sip:+14155550123@example.net>;party=calling;screen=yes;privacy=full",
            "Privacy: id",
        ]
    );
    let claimed = identity::of(&headers);
    assert!(claimed.is_private());
    assert_eq!(claimed.remote_party[0].address.to_string(), "Anna <sip:+14155550123@example.net>");
    let shown = CallerId { privacy: Privacy { none: true, ..Privacy::default() }, ..anna };
    assert_eq!(shown.from(&style).display.as_deref(), Some("Anna"));
    assert!(texts(&shown.headers(&style)).contains(&"Privacy: none".to_owned()));
}

#[test]
fn a_call_that_was_passed_on_says_by_whom() {
    let office = Diversion::new(name_addr("Office <sip:+4930123@example.net>"), "user-busy");
    let home =
        Diversion { counter: 3, hidden: true, ..Diversion::new(name_addr("<tel:+4940123>"), "no-answer") };
    let who = CallerId { diversion: vec![office.clone(), home.clone()], ..caller("+1") };
    let headers = who.headers(&IdentityStyle::default());
    assert_eq!(
        texts(&headers),
        [
            "Diversion: Office <sip:+4930123@example.net>;reason=user-busy;counter=1;privacy=off",
            "Diversion: <tel:+4940123>;reason=no-answer;counter=3;privacy=full",
        ]
    );
    assert_eq!(identity::of(&headers).diversion, [office, home]);
}

#[test]
fn the_spellings_of_others_are_read() {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let claimed = identity::of(&[
        header("p-asserted-identity", "\"Cullen, J.\" <sip:fluffy@cisco.com>, tel:+14085264000"),
        header("Remote-Party-ID", "<sip:1@h>;party=called;id-type=subscriber;privacy=full;screen=no"),
        header("Remote-Party-ID", "\"A\" <sip:2@h>;SCREEN=yes;privacy=off"),
        header("Diversion", "<sip:3@h>;reason=\"Unconditional\";counter=x;limit=5, <sip:4@h>"),
        header("Diversion", "not an address"),
        header("History-Info", "<sip:5@h?Reason=SIP%3Bcause%3D302>;index=1, <sip:6@h>;index=1.1"),
        header("Privacy", "ID ; critical;portrait"),
        header("Identity", "nonsense"),
    ]);
    let shown = |all: &[NameAddr]| all.iter().map(|one| one.uri.to_string()).collect::<Vec<_>>();
    assert_eq!(shown(&claimed.asserted), ["sip:fluffy@cisco.com", "tel:+14085264000"]);
    assert!(claimed.remote_party[0].is_called && claimed.remote_party[0].hidden);
    assert!(claimed.remote_party[1].screened && !claimed.remote_party[1].hidden);
    assert_eq!(claimed.diversion.len(), 2);
    assert_eq!(claimed.diversion[0].reason.as_deref(), Some("unconditional"));
    assert_eq!((claimed.diversion[0].counter, claimed.diversion[1].reason.clone()), (1, None));
    assert_eq!(claimed.history.len(), 2);
    assert_eq!(claimed.privacy, Privacy { critical: true, ..Privacy::id() });
    assert_eq!((claimed.passports.len(), claimed.attestation), (1, None));
    assert!(claimed.passports[0].is_err());
    let from = name_addr("<sip:anonymous@anonymous.invalid>");
    assert_eq!(claimed.caller(&from, true).uri.to_string(), "sip:fluffy@cisco.com");
    assert_eq!(claimed.caller(&from, false), &from);
}

#[test]
fn of_each_header_only_so_many_are_taken() {
    let many: Vec<_> =
        (0..1000).map(|n| ("P-Asserted-Identity".to_owned(), format!("<sip:{n}@h>, <sip:x{n}@h>"))).collect();
    assert_eq!(identity::of(&many).asserted.len(), 8);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_the_same(
        user in "\\+?[0-9]{1,20}|[ -~äß]{1,12}",
        name in proptest::option::of("[ -~äöü\r\n\t]{1,20}"),
        reason in "[a-z -]{1,12}",
        counter in 0..100_u32,
        flags in any::<[bool; 12]>(),
    ) {
        let privacy = Privacy {
            none: flags[0], header: flags[1], session: flags[2], user: flags[3],
            id: flags[4], history: flags[5], critical: flags[6],
        };
        let turn = Diversion {
            address: name_addr("\"O, N\" <sip:1@example.net>"), reason: Some(reason), counter, hidden: flags[7],
        };
        let who = CallerId { name, privacy, diversion: vec![turn.clone()], ..caller(&user) };
        let style = IdentityStyle {
            asserted: true, preferred: true, remote_party: true, user_phone: flags[8], ..IdentityStyle::default()
        };
        let from: NameAddr = who.from(&style).to_string().parse().expect("a From");
        prop_assert_eq!(&from.uri, &who.from(&style).uri);
        let headers = who.headers(&style);
        prop_assert!(headers.iter().all(|(_, value)| !value.contains(['\r', '\n'])));
        let claimed = identity::of(&headers);
        prop_assert_eq!(claimed.privacy, privacy);
        prop_assert_eq!(&claimed.diversion, &vec![turn]);
        prop_assert_eq!(claimed.asserted.len(), 1);
        prop_assert_eq!(claimed.asserted[0].uri.user(), Some(user));
        prop_assert_eq!(&claimed.preferred, &claimed.asserted);
        prop_assert_eq!(&claimed.remote_party[0].address, &claimed.asserted[0]);
        prop_assert_eq!(claimed.is_private(), privacy.is_wanted());
    }

    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        let names = ["P-Asserted-Identity", "Remote-Party-ID", "Diversion", "History-Info", "Privacy", "Identity"];
        let headers: Vec<_> = names.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
        let claimed = identity::of(&headers);
        let from = NameAddr::from("sip:a@b".parse::<Uri>().expect("a uri"));
        claimed.caller(&from, true);
    }
}
