//! Voices, and text turned into speech.

use models::catalog;

use super::coder::{Coder, serial};
use super::{Error, Gateway, Kind, SoundFormat};
use crate::call::Unspoken;
use crate::domain::{Principal, Private, Scope};

/// Characters of one text: two to three minutes of speech.
const LONGEST_TEXT: usize = 2_000;

/// A voice that agents may have.
#[derive(Clone, PartialEq, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "piper-en_US-joe-medium", "name": "joe", "language": "en", "locale": "en-US", "gender": "male", "default": true,
    "sample_url": "/v1/voices/piper-en_US-joe-medium/sample",
}))]
pub struct Voice {
    /// As it stands in settings.
    pub id: String,
    pub name: String,
    /// ISO 639-1; absent: not known.
    pub language: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    pub gender: Option<Gender>,
    /// What agents have that name none.
    pub default: bool,
    /// Where it can be heard, with a key.
    pub sample_url: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gender {
    Female,
    Male,
}

/// Text to be spoken.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "text": "We are open until six.", "format": "mp3" }))]
pub struct Speak {
    #[schema(value_type = String, min_length = 1, max_length = 2000, example = "We are open until six.")]
    pub text: Private<String>,
    /// One of `GET /v1/voices`; absent: the default one.
    #[serde(default)]
    pub voice: Option<String>,
    /// 1 is the voice's own.
    #[serde(default)]
    #[schema(minimum = 0.5, maximum = 2.0, default = 1.0)]
    pub speed: Option<f32>,
    /// WAV: 16 bits, one channel, at the voice's own rate. MP3: one channel, 32 kbit/s. Opus: one
    /// channel in Ogg, some 24 kbit/s.
    #[serde(default)]
    pub format: SoundFormat,
}

/// Sound, as a file.
#[derive(Debug)]
pub struct Spoken {
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
}

impl Gateway {
    /// The default one first.
    pub fn voices(&self, who: &Principal) -> Result<Vec<Voice>, Error> {
        who.require(Scope::AgentsRead)?;
        let config = &self.exchange.config;
        Ok(config.voices().into_iter().map(|id| voice(id, &config.engines.tts)).collect())
    }

    /// What a voice sounds like.
    pub async fn voice_sample(&self, who: &Principal, id: &str) -> Result<Spoken, Error> {
        let known = self.voices(who)?.into_iter().find(|voice| voice.id == id);
        let known = known.ok_or_else(|| Error::missing("voice", format!("{id:?}")))?;
        let text = match known.language.as_deref() {
            Some("de") => "Guten Tag. So klinge ich am Telefon.",
            _ => "Hello. This is how I sound on the telephone.",
        };
        self.spoken(text, Some(id), 1.0, SoundFormat::Wav).await
    }

    /// Speaks a text; its characters are charged for when it is spoken, unless they were before (`again`).
    pub async fn speak(&self, who: &Principal, request: Speak, again: bool) -> Result<Spoken, Error> {
        who.require(Scope::SpeechWrite)?;
        let (text, speed) = (request.text.reveal(), request.speed.unwrap_or(1.0));
        let characters = text.chars().count();
        if text.trim().is_empty() {
            return Err(Error::field("text", "is empty"));
        }
        if characters > LONGEST_TEXT {
            let reason = format!("has {characters} characters; at most {LONGEST_TEXT} are spoken at once");
            return Err(Error::field("text", reason));
        }
        if !(0.5..=2.0).contains(&speed) {
            return Err(Error::field("speed", format!("is {speed}, and must be a number from 0.5 to 2")));
        }
        let voices = self.exchange.config.voices();
        if let Some(voice) = &request.voice
            && !voices.contains(voice)
        {
            let reason = format!("is {voice:?}, and must be one of {}", voices.join(", "));
            return Err(Error::field("voice", reason));
        }
        if again {
            return self.spoken(text, request.voice.as_deref(), speed, request.format).await;
        }
        self.afford(who).await?;
        let sound = self.spoken(text, request.voice.as_deref(), speed, request.format).await?;
        self.charge_speech(who, characters).await?;
        Ok(sound)
    }

    async fn spoken(
        &self,
        text: &str,
        voice: Option<&str>,
        speed: f32,
        format: SoundFormat,
    ) -> Result<Spoken, Error> {
        // The default voice is known by no name to its engine's own default.
        let voice = voice.filter(|voice| *voice != self.exchange.config.engines.tts);
        let spoken = self.exchange.cast.speak(text, voice, speed).await;
        let pcm = spoken.map_err(|unspoken| match unspoken {
            Unspoken::Nothing => Error::field("text", unspoken.to_string()),
            Unspoken::Busy => Error::new(Kind::Busy, unspoken.to_string()),
            Unspoken::Failed(error) => {
                tracing::error!(%error, "a text could not be spoken");
                Error::coded(Kind::Unavailable, "speech_failed", "the voice failed; see the log")
            }
        })?;
        let serial = serial(text);
        let made = tokio::task::spawn_blocking(move || match format {
            SoundFormat::Wav => {
                Ok(Spoken { content_type: format.content_type(), bytes: wav(pcm.rate, &pcm.samples) })
            }
            SoundFormat::Mp3 | SoundFormat::Opus => {
                let mut coder = Coder::new(format, pcm.rate, 1, serial)?;
                let mut bytes = coder.push(&pcm.samples)?;
                bytes.extend(coder.finish()?);
                Ok(Spoken { content_type: format.content_type(), bytes })
            }
        });
        let failed = |error: std::io::Error| {
            tracing::error!(%error, "speech could not be written as a file");
            Error::new(Kind::Internal, "the sound could not be written; see the log")
        };
        made.await.unwrap_or_else(|panic| Err(std::io::Error::other(panic))).map_err(failed)
    }
}

/// What its name tells: `piper-en_US-joe-medium`; a path of the operator's own tells its last part.
fn voice(id: String, default: &str) -> Voice {
    let file = id.rsplit('/').next().unwrap_or(&id).trim_end_matches(".onnx");
    let parts: Vec<&str> = file.trim_start_matches("piper-").split('-').collect();
    let locale = catalog::locale(&id).map(str::to_owned);
    let about = catalog::find(&id).map_or("", |entry| entry.about);
    Voice {
        name: locale.as_ref().and(parts.get(1)).map_or(file, |name| name).to_owned(),
        language: locale.as_ref().map(|locale| locale[..2].to_owned()),
        locale: locale.map(|locale| locale.replace('_', "-")),
        gender: match () {
            () if about.contains("female") => Some(Gender::Female),
            () if about.contains("male") => Some(Gender::Male),
            () => None,
        },
        default: id == default,
        sample_url: format!("/v1/voices/{}/sample", percent(&id)),
        id,
    }
}

/// For one segment of a path (RFC 3986 §3.3).
fn percent(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    id.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// One channel of 16 bits with its head (RIFF WAVE, format 1).
fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let length = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(44 + samples.len() * 2);
    bytes.extend(b"RIFF");
    bytes.extend(length.saturating_add(36).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    for half in [1u16, 1] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * 2).to_le_bytes());
    for half in [2u16, 16] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(b"data");
    bytes.extend(length.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_known_by_its_name() {
        let joe = voice("piper-en_US-joe-medium".into(), "piper-en_US-joe-medium");
        assert_eq!(
            (joe.name.as_str(), joe.language.as_deref(), joe.locale.as_deref()),
            ("joe", Some("en"), Some("en-US"))
        );
        assert_eq!((joe.gender, joe.default), (Some(Gender::Male), true));
        let alba = voice("piper-en_GB-alba-medium".into(), "piper-en_US-joe-medium");
        assert_eq!((alba.gender, alba.default), (Some(Gender::Female), false));
        let own = voice("/srv/voices/de_DE-own.onnx".into(), "");
        assert_eq!((own.name.as_str(), own.language.as_deref(), own.gender), ("own", Some("de"), None));
        assert_eq!(own.sample_url, "/v1/voices/%2Fsrv%2Fvoices%2Fde_DE-own.onnx/sample");
        assert_eq!(voice("x".into(), "").name, "x");
    }

    #[test]
    fn a_wav_reads_back() {
        let read = media::wav::parse(&wav(22_050, &[1, -2, 3])).unwrap();
        assert_eq!((read.rate, read.channels, read.mono()), (22_050, 1, vec![1, -2, 3]));
    }
}
