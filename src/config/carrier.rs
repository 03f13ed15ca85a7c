//! `[trunk.messages]`: a carrier whose text messages go by HTTP, because it speaks no SIP MESSAGE.

use std::time::Duration;

use serde_json::Value;

use super::Secret;
use super::file::Section;
use super::read::{secret, size};
use super::trunk::{Login, login};

/// What templates may hold, in braces.
pub const PLACES: [&str; 6] = ["from", "to", "from_digits", "to_digits", "text", "id"];

/// How a message is handed over.
#[derive(Clone, PartialEq, Debug)]
pub struct Carrier {
    /// A template, as the next two.
    pub url: String,
    pub method: Method,
    /// Each value may hold a key of the operator's.
    pub headers: Vec<(String, Secret)>,
    /// HTTP Basic (RFC 7617).
    pub login: Option<Login>,
    /// A bearer token (RFC 6750).
    pub token: Option<Secret>,
    /// Texts anywhere in it are templates.
    pub body: Value,
    pub encoding: Encoding,
    /// Statuses that mean "taken"; empty: 200 to 299.
    pub accepted: Vec<u16>,
    /// Where the answer's body must hold one of `accepted_values` besides.
    pub accepted_path: Option<String>,
    pub accepted_values: Vec<String>,
    /// Where the answer holds what the carrier calls the message.
    pub id: Option<String>,
    /// Where a refusal says why.
    pub error: Option<String>,
    /// The carrier takes one `{id}` once only: what has had no answer may be sent again.
    pub idempotent: bool,
    pub timeout: Duration,
    /// Requests at once.
    pub max_at_once: usize,
    pub inbound: Option<Inbound>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Post,
    Put,
}

/// How a body is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    Json,
    Form,
}

/// What the carrier tells us, at `/carriers/<trunk>/messages`. Paths are as in `data.0.text`.
#[derive(Clone, PartialEq, Debug)]
pub struct Inbound {
    pub proof: Proof,
    pub from: String,
    pub to: String,
    pub text: String,
    /// What the carrier calls the message: the same one comes once.
    pub id: Option<String>,
    pub receipt: Option<Receipt>,
}

/// How the carrier proves that it is the one who tells.
#[derive(Clone, PartialEq, Debug)]
pub enum Proof {
    /// A header with a secret word.
    Token { header: String, secret: Secret },
    /// HMAC-SHA-256 over the body, and as a rule over a time.
    Hmac(Hmac),
}

impl Proof {
    /// The header that it stands in.
    pub fn header(&self) -> &str {
        match self {
            Proof::Token { header, .. } | Proof::Hmac(Hmac { header, .. }) => header,
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Hmac {
    pub secret: Secret,
    pub header: String,
    /// In front of the signature, as in `sha256=`.
    pub prefix: String,
    /// In base 64; else hexadecimal.
    pub is_base64: bool,
    /// Unix seconds or milliseconds, or RFC 3339.
    pub timestamp: Option<String>,
    /// What is signed, with {timestamp} and {body}.
    pub signed: String,
    /// How old or new the time may be.
    pub tolerance: Duration,
}

/// What became of a message that we sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Receipt {
    /// The carrier's id.
    pub id: Option<String>,
    /// Ours, where the carrier gives it back.
    pub reference: Option<String>,
    pub status: String,
    pub delivered: Vec<String>,
    pub failed: Vec<String>,
    /// Still on its way; nothing is done.
    pub pending: Vec<String>,
    pub reason: Option<String>,
}

const A_PATH: &str = "a path in the JSON, as in \"data.0.id\"";

/// `is_given`: whether the trunk has the table at all.
pub(super) fn carrier(s: Section, is_given: bool) -> Option<Carrier> {
    if !is_given {
        s.finish();
        return None;
    }
    let carrier = Carrier {
        url: s
            .required("url", "the address that takes a message, as in \"https://api.example.net/messages\""),
        method: match s.text("method").as_deref() {
            None | Some("POST") => Method::Post,
            Some("PUT") => Method::Put,
            Some(other) => {
                s.wrong("method", format!("is {other:?}, and must be \"POST\" or \"PUT\""));
                Method::Post
            }
        },
        headers: s.table("headers").into_iter().map(|(name, text)| (name, Secret::new(text))).collect(),
        login: s.has("username").then(|| login(&s, "username", "the name for HTTP Basic")),
        token: secret(&s, "token", "token_file", "token_env"),
        body: s.json("body"),
        encoding: match s.text("encoding").as_deref() {
            None | Some("json") => Encoding::Json,
            Some("form") => Encoding::Form,
            Some(other) => {
                s.wrong("encoding", format!("is {other:?}, and must be \"json\" or \"form\""));
                Encoding::Json
            }
        },
        accepted: statuses(&s),
        accepted_path: s.text("accepted_path"),
        accepted_values: s.texts("accepted_values", &[]),
        id: s.text("id"),
        error: s.text("error"),
        idempotent: s.flag("idempotent", false),
        timeout: s.seconds("timeout_s", Duration::from_secs(15), 1, 120),
        max_at_once: size(s.count("max_at_once", 8, 1, 256)),
        inbound: inbound(s.section("inbound"), s.has("inbound")),
    };
    check(&s, &carrier);
    s.finish();
    Some(carrier)
}

fn check(s: &Section, carrier: &Carrier) {
    let url = &carrier.url;
    if !url.is_empty() && !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        s.wrong("url", format!("is {url:?}, and must start with http:// or https://"));
    }
    let mut templates = vec![("url".to_owned(), url.clone())];
    for (name, value) in &carrier.headers {
        let key = format!("headers.{name}");
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.!%*+`'~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_name) {
            s.wrong(&key, "is no name of a header");
        }
        if value.reveal().chars().any(char::is_control) {
            s.wrong(&key, "must be one line of text");
        }
        templates.push((key, value.reveal().to_owned()));
    }
    texts(&carrier.body, "body", &mut templates);
    for (key, template) in &templates {
        let bare =
            PLACES.iter().fold(template.clone(), |text, place| text.replace(&format!("{{{place}}}"), ""));
        if bare.contains(['{', '}']) {
            // Not the template itself: a header may hold a secret.
            let places = PLACES.map(|place| format!("{{{place}}}")).join(", ");
            s.wrong(key, format!("holds braces around something else than {places}"));
        }
    }
    let has = |place: &str| templates.iter().any(|(_, text)| text.contains(place));
    if !has("{text}") {
        s.wrong("body", "nowhere holds {text}, so that every message would say the same");
    }
    if !has("{to}") && !has("{to_digits}") {
        s.wrong("body", "nowhere holds {to} or {to_digits}, so that nobody would know for whom a message is");
    }
    if carrier.idempotent && !has("{id}") {
        s.wrong(
            "idempotent",
            "needs {id} in the url, a header or the body: by it the carrier knows a message again",
        );
    }
    if carrier.encoding == Encoding::Form
        && !carrier.body.as_object().is_some_and(|body| body.values().all(Value::is_string))
    {
        s.wrong("body", "must be a flat table of texts where encoding is \"form\"");
    }
    if carrier.accepted_path.is_some() == carrier.accepted_values.is_empty() {
        s.wrong("accepted_path", "and accepted_values are given together or not at all");
    }
    if carrier.login.is_some() && carrier.token.is_some() {
        s.wrong("token", "is given beside username; use one of the two");
    }
}

/// Every text in a body, with the key that it stands at.
fn texts(value: &Value, key: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((key.to_owned(), text.clone())),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| texts(item, &format!("{key}.{n}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| texts(field, &format!("{key}.{name}"), found));
        }
        _ => {}
    }
}

fn statuses(s: &Section) -> Vec<u16> {
    let texts = s.texts("accepted", &[]);
    let read = texts.iter().map(|text| text.parse().ok().filter(|status| (200..600).contains(status)));
    read.collect::<Option<_>>().unwrap_or_else(|| {
        s.wrong("accepted", "must be a list of HTTP statuses in quotes, as in [\"200\", \"202\"]");
        Vec::new()
    })
}

fn inbound(s: Section, is_given: bool) -> Option<Inbound> {
    let inbound = is_given.then(|| Inbound {
        proof: proof(&s),
        from: s.required("from", A_PATH),
        to: s.required("to", A_PATH),
        text: s.required("text", A_PATH),
        id: s.text("id"),
        receipt: receipt(s.section("receipt"), s.has("receipt")),
    });
    if let Some(Inbound { id: None, proof, .. }) = &inbound
        && !matches!(proof, Proof::Hmac(Hmac { timestamp: Some(_), .. }))
    {
        s.wrong("id", "is missing; without it, or a timestamp_header, a text that was sent twice cannot be told from one that came twice");
    }
    s.finish();
    inbound
}

fn proof(s: &Section) -> Proof {
    let secret = secret(s, "secret", "secret_file", "secret_env");
    if !["secret", "secret_file", "secret_env"].iter().any(|key| s.has(key)) {
        s.wrong("secret", "is missing; without it anybody could tell us anything");
    }
    let secret = secret.unwrap_or_default();
    if s.has("secret") && secret.reveal().len() < 16 {
        s.wrong("secret", "is shorter than 16 characters, and could be guessed");
    }
    let header = s.text("header");
    let hmac = Hmac {
        header: header.clone().unwrap_or_else(|| "X-Signature".into()),
        secret: secret.clone(),
        prefix: s.text("prefix").unwrap_or_default(),
        is_base64: match s.text("digits").as_deref() {
            None | Some("hex") => false,
            Some("base64") => true,
            Some(other) => {
                s.wrong("digits", format!("is {other:?}, and must be \"hex\" or \"base64\""));
                false
            }
        },
        timestamp: s.text("timestamp_header"),
        signed: s.text("signed").unwrap_or_else(|| match s.has("timestamp_header") {
            true => "{timestamp}.{body}".into(),
            false => "{body}".into(),
        }),
        tolerance: s.seconds("tolerance_s", Duration::from_secs(300), 1, 86_400),
    };
    match s.text("proof").as_deref() {
        None | Some("hmac-sha256") => {
            if !hmac.signed.contains("{body}") {
                s.wrong("signed", "nowhere holds {body}, so that a signature would fit any message");
            }
            if hmac.signed.contains("{timestamp}") != hmac.timestamp.is_some() {
                s.wrong("signed", "holds {timestamp} where timestamp_header names a header, and only there");
            }
            Proof::Hmac(hmac)
        }
        Some("token") => {
            for key in ["prefix", "digits", "timestamp_header", "signed", "tolerance_s"] {
                if s.has(key) {
                    s.wrong(key, "has no meaning where proof is \"token\"");
                }
            }
            Proof::Token { header: header.unwrap_or_else(|| "Authorization".into()), secret }
        }
        Some(other) => {
            s.wrong("proof", format!("is {other:?}, and must be \"hmac-sha256\" or \"token\""));
            Proof::Hmac(hmac)
        }
    }
}

fn receipt(s: Section, is_given: bool) -> Option<Receipt> {
    let receipt = is_given.then(|| Receipt {
        id: s.text("id"),
        reference: s.text("reference"),
        status: s.required("status", A_PATH),
        delivered: s.texts("delivered", &["delivered"]),
        failed: s.texts("failed", &["failed", "undelivered", "rejected", "expired"]),
        pending: s.texts("pending", &["accepted", "queued", "sending", "sent"]),
        reason: s.text("reason"),
    });
    if receipt.as_ref().is_some_and(|receipt| receipt.id.is_none() && receipt.reference.is_none()) {
        s.wrong("id", "is missing; a receipt is found by id, the carrier's, or by reference, ours");
    }
    s.finish();
    receipt
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const TRUNK: &str =
        "[[trunk]]\nname='c'\nallow=['192.0.2.0/24']\n[trunk.messages]\nurl='https://api.example/m'\n";

    fn mistakes(more: &str) -> Vec<String> {
        let list = Config::parse(&format!("{TRUNK}{more}")).err().unwrap_or_default();
        list.iter().map(|mistake| format!("{}: {}", mistake.key, mistake.reason)).collect()
    }

    #[test]
    fn a_carrier_is_read_with_its_secrets_hidden() {
        let more = "headers={'X-Key'='hunter2-{id}'}\nidempotent=true\nid='data.id'\nbody={from='{from}',to=['{to}'],text='{text}'}\n\
             [trunk.messages.inbound]\nsecret='0123456789abcdef'\nfrom='from'\nto='to'\ntext='text'\n\
             timestamp_header='X-Time'\n[trunk.messages.inbound.receipt]\nid='id'\nstatus='status'";
        let config =
            Config::parse(&format!("{TRUNK}{more}")).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let carrier = config.trunks[0].messages.as_ref().unwrap();
        assert_eq!(carrier.body["to"][0], "{to}");
        assert!(carrier.inbound.as_ref().unwrap().receipt.is_some());
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("0123456789abcdef"));
    }

    #[test]
    fn what_could_not_work_is_named() {
        for (more, expected) in [
            ("body={to='{to}'}", "trunk[0].messages.body: nowhere holds {text}"),
            ("body={text='{text}'}", "trunk[0].messages.body: nowhere holds {to}"),
            ("body={to='{to}',text='{text} {name}'}", "trunk[0].messages.body.text: holds braces"),
            ("body={to='{to}',text='{text}'}\nidempotent=true", "trunk[0].messages.idempotent: needs {id}"),
            (
                "body={to=['{to}'],text='{text}'}\nencoding='form'",
                "trunk[0].messages.body: must be a flat table",
            ),
            (
                "body={to='{to}',text='{text}'}\n[trunk.messages.inbound]\nfrom='f'\nto='t'\ntext='x'",
                "trunk[0].messages.inbound.secret: is missing",
            ),
            (
                "body={to='{to}',text='{text}'}\n[trunk.messages.inbound]\nsecret='0123456789abcdef'\nfrom='f'\nto='t'\n\
                 text='x'\nsigned='{timestamp}{body}'",
                "trunk[0].messages.inbound.signed: holds {timestamp}",
            ),
        ] {
            let found = mistakes(more);
            assert!(found.iter().any(|line| line.starts_with(expected)), "{expected} not in {found:#?}");
        }
    }
}
