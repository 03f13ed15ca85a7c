//! Who a conversation is with: one name for a contact, however it is written.

use sip::Uri;

use crate::config::Format;
use crate::domain::E164;

/// The name of whom a message is sent to: a number, an extension, or a SIP URI without port and parameters.
pub fn contact_of(to: &str) -> String {
    match to.parse::<Uri>() {
        Ok(uri) if to.contains(':') => named(&uri, &Format::E164),
        _ => to.to_owned(),
    }
}

/// The name of whoever wrote over a trunk that writes numbers so.
pub(super) fn named(uri: &Uri, format: &Format) -> String {
    let user = uri.user();
    let number = user.as_deref().and_then(|user| user.parse::<E164>().ok().or_else(|| format.read(user)));
    match (number, user, uri.host()) {
        (Some(number), ..) => number.to_string(),
        (None, Some(user), Some(host)) => format!("sip:{user}@{}", host.to_string().to_lowercase()),
        _ => uri.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_has_one_name() {
        for (to, name) in [
            ("+14155550123", "+14155550123"),
            ("201", "201"),
            ("sip:+14155550123@carrier.example:5060;user=phone", "+14155550123"),
            ("sip:bob@PBX.example:5070;transport=tcp", "sip:bob@pbx.example"),
        ] {
            assert_eq!(contact_of(to), name);
        }
    }

    #[test]
    fn numbers_are_read_as_their_trunk_writes_them() {
        let national = Format::National { country: "49".into(), trunk: "0".into(), abroad: "00".into() };
        for (user, format, name) in [
            ("14155550123", &Format::PlusLess, "+14155550123"),
            ("03012345678", &national, "+493012345678"),
            ("0014155550123", &national, "+14155550123"),
            ("14155550123", &Format::E164, "sip:14155550123@h"),
        ] {
            assert_eq!(named(&format!("sip:{user}@h").parse().unwrap(), format), name, "{user}");
        }
    }
}
