//! `[[extension]]`: a phone on the LAN that registers with us.

use super::codecs::codecs;
use super::file::Section;
use super::signalling::contacts;
use super::srtp::{Srtp, srtp};
use super::trunk::{Login, dtmf, login};

#[derive(Clone, PartialEq, Debug)]
pub struct Extension {
    /// What others dial, and what the phone registers as.
    pub number: String,
    /// Whose phone it is, for people to read.
    pub name: String,
    /// The number again, with the phone's password.
    pub login: Login,
    /// Phones at once; one more registration is refused.
    pub max_contacts: usize,
    /// Agents, numbers and extensions that it may dial; empty: all.
    pub may_dial: Vec<String>,
    /// How keys travel in calls of its phones.
    pub dtmf: media::dtmf::Mode,
    /// The best first; absent: those of `media.codecs`.
    pub codecs: Option<Vec<media::sdp::Codec>>,
    /// Whether its phones may send our calls on by REFER, and take a leg's place by Replaces.
    pub take_refers: bool,
    /// Whether sound is encrypted.
    pub srtp: Srtp,
    /// Who answers what is nobody's name or number here; absent: 404.
    pub agent: Option<String>,
}

impl Extension {
    /// What stands in a call's record where others have their trunk.
    pub fn line(&self) -> String {
        format!("extension {}", self.number)
    }

    /// Whether it may dial somebody who is called one of these.
    pub fn may_dial<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        self.may_dial.is_empty() || names.into_iter().any(|name| self.may_dial.iter().any(|may| may == name))
    }
}

pub(super) fn extension(s: Section) -> Extension {
    let login = login(&s, "number", "what the phone registers as, as in \"201\"");
    let extension = Extension {
        number: login.username.clone(),
        name: s.text("name").unwrap_or_else(|| login.username.clone()),
        login,
        max_contacts: contacts(&s),
        may_dial: s.texts("may_dial", &[]),
        dtmf: dtmf(&s),
        codecs: codecs(&s),
        take_refers: s.flag("take_refers", true),
        srtp: srtp(&s),
        agent: s.text("agent"),
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if extension.number.len() > 32 || !extension.number.bytes().all(is_plain) {
        s.wrong("number", "must be at most 32 letters, digits, dots or dashes, as in \"201\"");
    }
    s.finish();
    extension
}
