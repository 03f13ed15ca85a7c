//! What was said in a call, as text and as sound.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::coder::{Coder, serial};
use super::{Error, Gateway, Kind};
use crate::domain::{
    AccountId, Call, CallId, CallReport, Fragment, Principal, Private, Scope, Speaker, Status,
};
use crate::store::Reading;

/// The words of a call.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Transcript {
    pub call_id: CallId,
    pub status: Status,
    /// The call is over: nothing will be added.
    pub complete: bool,
    /// In the order in which they were said. Of the agent only what the other side's ear got.
    pub fragments: Vec<Fragment>,
}

/// How sound is given out.
#[derive(
    Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SoundFormat {
    #[default]
    Wav,
    Mp3,
    /// Opus in Ogg.
    Opus,
}

impl SoundFormat {
    const ALL: [Self; 3] = [Self::Wav, Self::Mp3, Self::Opus];

    /// As requests and links name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
        }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Mp3 => "audio/mpeg",
            Self::Opus => "audio/ogg",
        }
    }
}

/// A link to a recording that a client asks for.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "format": "mp3", "expires_in_s": 600 }))]
pub struct WantLink {
    /// As in `recordings` of the call.
    #[serde(default)]
    #[schema(default = 0)]
    pub part: u32,
    #[serde(default)]
    pub format: SoundFormat,
    /// At most a day.
    #[serde(default = "an_hour")]
    #[schema(minimum = 1, maximum = 86400, default = 3600)]
    pub expires_in_s: u32,
}

fn an_hour() -> u32 {
    3_600
}

/// Longest life of a link, seconds.
const LONGEST_LINK: u32 = 86_400;

/// A way to a recording that needs no key.
#[derive(Clone, Debug)]
pub struct Link {
    /// What stands for the key.
    pub token: String,
    pub expires_at: DateTime<Utc>,
}

/// Signs links, with a secret of the box.
#[derive(Clone)]
pub(super) struct Seal(Arc<[u8; 32]>);

impl Seal {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self(Arc::new(secret))
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("any length is a key");
        mac.update(text.as_bytes());
        mac
    }

    fn sign(&self, call: &CallId, part: u32, format: SoundFormat, until: i64) -> String {
        let text = format!("{call}.{part}.{}.{until}", format.name());
        let proof: String =
            self.mac(&text).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{text}.{proof}")
    }

    /// What a token allows, if it is one of ours and not too old.
    fn open(&self, token: &str, now: i64) -> Option<(CallId, u32, SoundFormat)> {
        let (text, proof) = token.rsplit_once('.')?;
        let bytes: Option<Vec<u8>> = (0..proof.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(proof.get(at..at + 2)?, 16).ok())
            .collect();
        self.mac(text).verify_slice(&bytes?).ok()?;
        let mut parts = text.split('.');
        let (call, part, format, until) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let format = SoundFormat::ALL.into_iter().find(|known| known.name() == format)?;
        (until.parse::<i64>().ok()? > now).then_some(())?;
        Some((call.parse().ok()?, part.parse().ok()?, format))
    }
}

/// A recording to be sent.
pub struct Sound {
    reading: Reading,
    /// Of a stream that is made of it: another one for each recording, so that such files may be put one behind the other.
    serial: u32,
}

impl Gateway {
    /// What was said so far.
    pub async fn transcript(&self, who: &Principal, id: CallId) -> Result<Transcript, Error> {
        let Call { id, status, transcript, .. } = self.call(who, id).await?;
        Ok(Transcript { call_id: id, status, complete: status.is_over(), fragments: transcript })
    }

    /// What became of a call that is over.
    pub async fn call_report(&self, who: &Principal, id: CallId) -> Result<CallReport, Error> {
        let none = "there is no report on this call: it lasts, nothing was said, its agent is to write none, or no brain here can";
        let report = self.call(who, id).await?.report;
        report.map(|report| *report).ok_or_else(|| Error::coded(Kind::NotFound, "no_report", none))
    }

    /// A recording of a call that is over.
    pub async fn recording(&self, who: &Principal, id: CallId, part: u32) -> Result<Sound, Error> {
        let call = self.call(who, id).await?;
        self.sound(call.account.clone(), call.id, part).await
    }

    /// Lets whoever has the link hear a recording, for a while.
    pub async fn link(&self, who: &Principal, id: CallId, want: WantLink) -> Result<Link, Error> {
        who.require(Scope::CallsRead)?;
        if !(1..=LONGEST_LINK).contains(&want.expires_in_s) {
            let reason = format!("is {}, and must be from 1 to {LONGEST_LINK}", want.expires_in_s);
            return Err(Error::field("expires_in_s", reason));
        }
        self.recording(who, id.clone(), want.part).await?;
        let expires_at = Utc::now() + Duration::from_secs(want.expires_in_s.into());
        let token = self.seal.sign(&id, want.part, want.format, expires_at.timestamp());
        Ok(Link { token, expires_at })
    }

    /// The recording that a link leads to.
    pub async fn linked(&self, token: &str) -> Result<(Sound, SoundFormat), Error> {
        let none = || Error::new(Kind::NotFound, "there is no such link, or its time is over");
        let (id, part, format) = self.seal.open(token, Utc::now().timestamp()).ok_or_else(none)?;
        let call = self.read(move |store| store.call(&id)).await?.ok_or_else(none)?;
        Ok((self.sound(call.account, call.id, part).await?, format))
    }

    async fn sound(&self, account: AccountId, id: CallId, part: u32) -> Result<Sound, Error> {
        let wanted = id.clone();
        let opened = self.read(move |store| Ok(store.recording(&account, &wanted, part))).await?;
        let reading = opened.map_err(|error| {
            tracing::error!(call = %id, %error, "a recording cannot be opened");
            Error::coded(Kind::Busy, "store_unavailable", "the recording cannot be read; see the log")
        })?;
        let none = format!("call {id} has no recording {part}; it is there when the call is over");
        let reading = reading.ok_or_else(|| Error::coded(Kind::NotFound, "no_recording", none))?;
        Ok(Sound { reading, serial: serial(&format!("{id}.{part}")) })
    }
}

impl Sound {
    /// Of the WAV, bytes.
    pub fn length(&self) -> u64 {
        self.reading.bytes()
    }

    /// At most `length` bytes of the WAV from `at` on. Blocks.
    pub fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        self.reading.read(at, length)
    }

    /// The whole in another format than WAV, piece by piece.
    ///
    /// # Errors
    /// What was recorded is no WAV that could be turned into it. Blocks.
    pub fn coded(self, format: SoundFormat) -> io::Result<Pieces> {
        let head = self.reading.read(0, HEAD)?;
        let number = |at: usize, bytes: usize| {
            let part = head.get(at..at + bytes).unwrap_or_default();
            part.iter().rev().fold(0u32, |number, byte| number << 8 | u32::from(*byte))
        };
        let (channels, rate, bits) = (number(22, 2), number(24, 4), number(34, 2));
        if head.len() < HEAD || !head.starts_with(b"RIFF") || bits != 16 || !(1..=2).contains(&channels) {
            return Err(io::Error::other("the recording is no WAV of 16 bits"));
        }
        let coder = Coder::new(format, rate, if channels == 1 { 1 } else { 2 }, self.serial)?;
        Ok(Pieces { sound: self, at: HEAD as u64, coder: Some(coder) })
    }
}

/// What stands before the samples in a WAV of ours, bytes.
const HEAD: usize = 44;
/// Of the WAV, read at once: whole samples of two channels.
const PIECE: usize = 64 << 10;

/// A recording on its way into another format.
pub struct Pieces {
    sound: Sound,
    at: u64,
    coder: Option<Coder>,
}

impl Pieces {
    /// The next piece; `None` after the last. Blocks.
    pub fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(coder) = &mut self.coder else { return Ok(None) };
        let bytes = self.sound.read(self.at, PIECE)?;
        self.at += bytes.len() as u64;
        let pcm: Vec<i16> = bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
        if pcm.is_empty() {
            return self.coder.take().map(Coder::finish).transpose();
        }
        coder.push(&pcm).map(Some)
    }
}

impl Transcript {
    /// One line for each stretch: when, who, what.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Fragment { speaker, text: said, at_ms, interrupted } in &self.fragments {
            let who = if *speaker == Speaker::Caller { "Caller" } else { "Agent" };
            let (minutes, seconds) = (at_ms / 60_000, at_ms / 1_000 % 60);
            let cut = if *interrupted { " (interrupted)" } else { "" };
            text.push_str(&format!("[{minutes:02}:{seconds:02}] {who}: {}{cut}\n", one_line(said)));
        }
        text
    }
}

fn one_line(said: &Private<String>) -> String {
    said.reveal().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_what_it_names_until_its_time_is_over() {
        let seal = Seal::new([3; 32]);
        let call = CallId::from_random([1; 10]);
        let token = seal.sign(&call, 2, SoundFormat::Mp3, 1_000);
        assert_eq!(seal.open(&token, 999), Some((call.clone(), 2, SoundFormat::Mp3)));
        assert_eq!(seal.open(&token, 1_000), None, "its time is over");
        assert_eq!(seal.open(&token.replace(".2.", ".1."), 999), None, "another recording");
        assert_eq!(Seal::new([4; 32]).open(&token, 999), None, "another box");
        for format in SoundFormat::ALL {
            assert_eq!(seal.open(&seal.sign(&call, 0, format, 1_000), 999), Some((call.clone(), 0, format)));
        }
        for wrong in ["", ".", "a.b", &token[..token.len() - 1], &format!("{token}0")] {
            assert_eq!(seal.open(wrong, 999), None, "{wrong}");
        }
    }

    #[test]
    fn a_transcript_reads_as_lines() {
        let fragment = |speaker, text: &str, at_ms, interrupted| Fragment {
            speaker,
            text: Private::new(text.into()),
            at_ms,
            interrupted,
        };
        let transcript = Transcript {
            call_id: CallId::from_random([1; 10]),
            status: Status::Completed,
            complete: true,
            fragments: vec![
                fragment(Speaker::Agent, "Hello,\nhow can", 300, true),
                fragment(Speaker::Caller, "Do you open today?", 61_900, false),
            ],
        };
        assert_eq!(
            transcript.text(),
            "[00:00] Agent: Hello, how can (interrupted)\n[01:01] Caller: Do you open today?\n"
        );
    }
}
