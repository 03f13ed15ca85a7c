//! Identity headers: the full and the compact form, what carriers write, and every way to be wrong by its name.

use proptest::prelude::*;
use sip::identity;
use sip::passport::{Attestation, Claims, Party, PassportError, Unverified, parse};

const HEADER: &str =
    r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://cert.example.org/passport.cer"}"#;
const PAYLOAD: &str = r#"{"attest":"A","dest":{"tn":["12155550131"]},"iat":1443208345,"orig":{"tn":"12155550121"},"origid":"123e4567-e89b-12d3-a456-426655440000"}"#;
const PARAMS: &str = "info=<https://cert.example.org/passport.cer>;alg=ES256;ppt=shaken";

/// Written apart from the reader.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (i, b)| word | u32::from(*b) << (16 - 8 * i));
        for i in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(word >> (18 - 6 * i)) as usize & 63]));
        }
    }
    out
}

fn token(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()), base64url(&[7; 64]))
}

fn full() -> String {
    format!("{};{PARAMS}", token(HEADER, PAYLOAD))
}

fn with_payload(payload: &str) -> Result<Unverified, PassportError> {
    parse(&format!("{};{PARAMS}", token(HEADER, payload)))
}

#[test]
fn the_full_form_says_everything() {
    let passport = parse(&full()).expect("a PASSporT");
    assert_eq!(passport.info, "https://cert.example.org/passport.cer");
    assert_eq!((passport.ppt.as_deref(), passport.signature.len()), (Some("shaken"), 64));
    let claims = Claims {
        attestation: Some(Attestation::Full),
        orig: Party::Number("12155550121".into()),
        dest: vec![Party::Number("12155550131".into())],
        iat: 1_443_208_345,
        origid: Some("123e4567-e89b-12d3-a456-426655440000".into()),
    };
    assert_eq!(passport.claims, Some(claims));
}

#[test]
fn the_compact_form_leaves_the_claims_to_the_reader() {
    let value = format!("..{};{PARAMS}", base64url(&[9; 64]));
    let passport = parse(&value).expect("a PASSporT");
    assert_eq!((passport.claims, passport.ppt.as_deref()), (None, Some("shaken")));
}

#[test]
fn the_letters_are_those_of_shaken() {
    for (letter, attestation) in
        [("A", Attestation::Full), ("B", Attestation::Partial), ("C", Attestation::Gateway)]
    {
        let payload = PAYLOAD.replace("\"A\"", &format!("\"{letter}\""));
        let claims = with_payload(&payload).expect("a PASSporT").claims.expect("the full form");
        assert_eq!(claims.attestation, Some(attestation));
        assert_eq!(attestation.letter().to_string(), letter);
    }
}

#[test]
fn what_carriers_write_beside_the_letter_of_the_rfc() {
    // Quotes around ppt, blanks, other order, a parameter that nobody knows.
    let value = format!(
        "{} ; x=y; ppt=\"shaken\" ;alg=es256; info=<https://cert.example.org/passport.cer>",
        token(HEADER, PAYLOAD)
    );
    assert!(parse(&value).is_ok());
    // No alg: ES256 is the default.
    let value = format!("{};info=<https://cert.example.org/passport.cer>", token(HEADER, PAYLOAD));
    assert!(parse(&value).is_ok());
    // One where a list belongs, and the other way round; a SIP URI; a claim of an extension.
    let payload = r#"{"attest":"B","dest":{"tn":"1","uri":["sip:b@h"]},"iat":1,"orig":{"uri":["sip:a@h"]},"origid":"x","rcd":{"nam":"A"}}"#;
    let claims = with_payload(payload).expect("a PASSporT").claims.expect("the full form");
    assert_eq!(claims.orig, Party::Uri("sip:a@h".parse().expect("a uri")));
    assert_eq!(claims.dest.len(), 2);
    // Another kind has no attestation.
    let header = HEADER.replace("shaken", "div");
    let payload = r#"{"dest":{"tn":["1"]},"div":{"tn":"2"},"iat":1,"orig":{"tn":"3"}}"#;
    let value = format!("{};{}", token(&header, payload), PARAMS.replace("shaken", "div"));
    assert_eq!(parse(&value).expect("a PASSporT").claims.expect("full").attestation, None);
}

#[test]
fn what_is_wrong_is_named() {
    use PassportError::*;
    let good = token(HEADER, PAYLOAD);
    let sig = base64url(&[7; 64]);
    let other = HEADER.replace("ES256", "RS256");
    for (value, error) in [
        (String::new(), Missing("info")),
        (good.clone(), Missing("info")),
        (format!("{good};alg=ES256"), Missing("info")),
        (format!("{good};info=https://a.example/b"), Bad("info")),
        (format!("{good};info=<relative>"), Bad("info")),
        (format!("{good};info=<https://open"), Bad("info")),
        (format!("{good};{PARAMS};alg=ES256"), Contradiction("the header's parameter")),
        (format!("{good};info=<https://other.example/>"), Contradiction("info")),
        (format!("{good};{}", PARAMS.replace("shaken", "div")), Contradiction("ppt")),
        (format!("{good};{}", PARAMS.replace("ES256", "none")), Algorithm),
        (format!("{};info=<https://cert.example.org/passport.cer>", token(&other, PAYLOAD)), Algorithm),
        (format!("{};{PARAMS}", token(&HEADER.replace("passport", "jwt"), PAYLOAD)), Bad("typ")),
        (format!("{good}.x;{PARAMS}"), Parts),
        (format!("abc;{PARAMS}"), Parts),
        (format!("..;{PARAMS}"), Signature),
        (format!("..{}==;{PARAMS}", base64url(&[7; 64])), Base64("signature")),
        (format!("..{};{PARAMS}", base64url(&[7; 63])), Signature),
        (format!("a+b.c.{sig};{PARAMS}"), Base64("header")),
        (format!(".e30.{sig};{PARAMS}"), Json("header")),
        (format!("{}..{sig};{PARAMS}", base64url(HEADER.as_bytes())), Json("payload")),
        (format!("{};{PARAMS}", token("{", PAYLOAD)), Json("header")),
        (format!("{good};{PARAMS}{}", ";x=y".repeat(3000)), TooLong),
    ] {
        assert_eq!(parse(&value), Err(error), "{value:.300}");
    }
    for (payload, error) in [
        (PAYLOAD.replace("\"attest\":\"A\",", ""), Missing("attest")),
        (PAYLOAD.replace("\"A\"", "\"D\""), Bad("attest")),
        (PAYLOAD.replace("\"A\"", "\"a\""), Bad("attest")),
        (PAYLOAD.replace("\"A\"", "1"), Json("payload")),
        (PAYLOAD.replace("origid", "origin"), Missing("origid")),
        (PAYLOAD.replace("123e", "\\n"), Bad("origid")),
        (PAYLOAD.replace("12155550121", "+12155550121"), Bad("orig")),
        (PAYLOAD.replace("12155550121", &"1".repeat(25)), Bad("orig")),
        (PAYLOAD.replace("{\"tn\":\"12155550121\"}", "{}"), Bad("orig")),
        (PAYLOAD.replace("\"12155550121\"", "[\"1\",\"2\"]"), Bad("orig")),
        (PAYLOAD.replace("[\"12155550131\"]", "[]"), Missing("dest")),
        (PAYLOAD.replace("\"12155550131\"", &vec!["\"1\""; 33].join(",")), TooLong),
        (PAYLOAD.replace("1443208345", "-1"), Json("payload")),
        (PAYLOAD.replace("\"iat\"", "\"iatt\""), Json("payload")),
        // Said twice: two readers could believe two things.
        (PAYLOAD.replace("{\"attest\"", "{\"attest\":\"C\",\"attest\""), Json("payload")),
        (format!("{PAYLOAD} x"), Json("payload")),
        ("[".repeat(2000), Json("payload")),
    ] {
        assert_eq!(with_payload(&payload), Err(error), "{payload:.300}");
    }
}

#[test]
fn of_several_the_first_with_an_attestation_counts() {
    let header = |value: String| ("Identity".to_owned(), value);
    let compact = format!("..{};{PARAMS}", base64url(&[9; 64]));
    let claimed = identity::of(&[header("x".into()), header(compact), header(full())]);
    assert_eq!(claimed.passports.len(), 3);
    assert_eq!(claimed.attestation, Some(Attestation::Full));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_reads_the_same(
        letter in "[ABC]", orig in "[0-9]{1,24}", dest in proptest::collection::vec("[0-9*#]{1,24}", 1..32),
        iat in any::<u64>(), origid in "[ -!#-\\[\\]-~]{1,64}", signature in proptest::collection::vec(any::<u8>(), 64),
    ) {
        let list = dest.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(",");
        let payload = format!(
            r#"{{"attest":"{letter}","dest":{{"tn":[{list}]}},"iat":{iat},"orig":{{"tn":"{orig}"}},"origid":"{origid}"}}"#
        );
        let (head, body) = (base64url(HEADER.as_bytes()), base64url(payload.as_bytes()));
        let passport = parse(&format!("{head}.{body}.{};{PARAMS}", base64url(&signature))).expect("a PASSporT");
        prop_assert_eq!(&passport.signature, &signature);
        let claims = passport.claims.expect("the full form");
        prop_assert_eq!(claims.attestation.map(|one| one.letter().to_string()), Some(letter));
        prop_assert_eq!(claims.orig, Party::Number(orig));
        prop_assert_eq!(claims.dest, dest.into_iter().map(Party::Number).collect::<Vec<_>>());
        prop_assert_eq!((claims.iat, claims.origid), (iat, Some(origid)));
    }

    /// Whatever is cut off, it is refused; and nothing panics.
    #[test]
    fn a_part_is_no_whole(cut in 0_usize..500, byte in any::<u8>()) {
        let value = full();
        let cut = cut % (value.find(";alg").expect("it is there") - 1);
        prop_assert!(parse(&value[..cut]).is_err());
        let mut bytes = value.into_bytes();
        bytes[cut] = byte;
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }
}
