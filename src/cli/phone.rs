//! `offhook phone`: the scriptable softphone.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tokio::sync::mpsc;

use super::local::{self, VoiceArgs};
use super::rehearsal::stop_at_signal;
use crate::config::Srtp;
use crate::phone::script::{Line, Script, Step, duration};
use crate::phone::{Account, Outcome, Phone, Settings, Stamped, Stop, clip};

const STEPS: &str = "\
Steps (--do, in order, or one a line in a --script file):
  listen [TIME]          wait until the other side has spoken and finished (20 s)
  say TEXT               speak, with a Piper voice
  play FILE.wav          play a file of any rate
  interrupt TIME TEXT    speak over the other side once it has spoken for TIME
  dtmf KEYS              press keys: 0-9 * # A-D
  wait TIME              do nothing: 500ms, 2s
  stay [TIME]            wait for the other side to hang up (1 h)
  hangup                 hang up, as happens at the end anyhow

Examples:
  offhook phone call sip:100@127.0.0.1:5060 --do listen --do 'say What are your opening hours?' --do listen
  offhook phone call 100 --register sip:pbx.lan --username 7001 --password-file pw --do 'dtmf 42#' --record call.wav
  offhook phone answer --listen 127.0.0.1:5070 --do 'say Hello?' --do 'interrupt 900ms Hold on' --do listen
  offhook phone call sip:100@127.0.0.1:5060 --script call.txt | jq -c 'select(.voice_to_voice_ms)'";

/// Call, or be called, and follow a script: say, play, press, interrupt, listen, record.
///
/// What happens is printed as JSON lines on standard output, with the times measured at the phone's own ear:
/// `voice_to_voice_ms` from our last voiced sample sent to the first voiced sample received, `stop_ms` from the onset
/// of our interruption to the last voiced sample received.
#[derive(Args, Debug)]
#[command(after_help = STEPS)]
pub(super) struct PhoneArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Call somebody
    ///
    /// Exit status: 0 when the call was answered, 3 when it was not, 1 when it could not be placed.
    #[command(after_help = STEPS)]
    Call {
        /// A SIP URI; with --register or --proxy also a bare number or name
        target: String,
        #[command(flatten)]
        set: Set,
    },
    /// Wait to be called, and answer
    ///
    /// Exit status: 0 when a call was answered, 1 when nobody called.
    #[command(after_help = STEPS)]
    Answer {
        /// How long to wait for the call
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
        wait: Duration,
        /// How long it rings before it is answered
        #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
        ring: Duration,
        #[command(flatten)]
        set: Set,
    },
}

/// The phone's own settings.
#[derive(Args, Debug)]
struct Set {
    /// A step of the script; may be repeated
    #[arg(long = "do", value_name = "STEP", conflicts_with = "script")]
    steps: Vec<Step>,
    /// A file with one step a line; - reads standard input
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Address and port that the phone listens on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:0")]
    listen: SocketAddr,
    /// Ports of the phone's sound, the first even
    #[arg(long, value_name = "FROM-TO", default_value = "30000-30999", value_parser = ports)]
    rtp_ports: RangeInclusive<u16>,
    /// Our name, where we do not register
    #[arg(long, default_value = "phone")]
    user: String,
    /// Our name as shown to the other side
    #[arg(long, value_name = "NAME")]
    display: Option<String>,
    /// Register here first, with digest authentication
    #[arg(long, value_name = "URI", requires = "username")]
    register: Option<sip::Uri>,
    /// Our name at the registrar
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// File with the password; or set OFFHOOK_PHONE_PASSWORD
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Send requests here instead of straight to their target
    #[arg(long, value_name = "URI")]
    proxy: Option<sip::Uri>,
    /// Encrypt the sound, with keys in the SDP: off, optional or required
    #[arg(long, value_name = "MODE", default_value = "off", value_parser = srtp)]
    srtp: Srtp,
    /// Speak this codec: pcmu, pcma, g722 or opus; again for others that will do [default: all]
    #[arg(long = "codec", value_name = "NAME")]
    codecs: Vec<media::sdp::Codec>,
    /// Record into a WAV file: what is heard left, what is said right
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Keep only what is heard in the recording
    #[arg(long, requires = "record")]
    mono: bool,
    /// Hang up after this time, whatever the script says
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = time)]
    max_duration: Duration,
    /// So much silence ends what the other side says
    #[arg(long, value_name = "TIME", default_value = "900ms", value_parser = time)]
    pause: Duration,
    #[command(flatten)]
    voice: VoiceArgs,
}

pub(super) async fn run(args: PhoneArgs) -> anyhow::Result<ExitCode> {
    let (set, ring) = match &args.verb {
        Verb::Call { set, .. } => (set, Duration::ZERO),
        Verb::Answer { set, ring, .. } => (set, *ring),
    };
    let script = script(set)?;
    let clips = clips(&script, &set.voice).await?;
    let settings = settings(set, ring)?;
    let stop = Stop::new();
    tokio::spawn(stop_at_signal(stop.clone()));
    let (out, events) = mpsc::channel(1024);
    let printer = tokio::task::spawn_blocking(move || print(events));
    let mut phone = Phone::start(settings, out).await?;
    let outcome = match args.verb {
        Verb::Call { ref target, .. } => match uri(target, set) {
            Ok(to) => phone.call(&to, &script, clips, &stop).await.map_err(Into::into),
            Err(error) => Err(error),
        },
        Verb::Answer { wait, .. } => {
            eprintln!("listening on {}", phone.local_addr());
            phone.answer(wait, &script, clips, &stop).await.map_err(Into::into)
        }
    };
    // Whatever came of it: BYE, unregister and close first.
    phone.shut_down().await;
    printer.await?;
    let outcome: Outcome = outcome?;
    if let (Some(path), true) = (&set.record, set.mono) {
        let mut wav = media::wav::read(path)?;
        wav.samples = clip::channel(&wav, 0);
        wav.channels = 1;
        media::wav::write(path, &wav)?;
    }
    Ok(ExitCode::from(if outcome.answered { 0 } else { 3 }))
}

fn script(set: &Set) -> anyhow::Result<Script> {
    let Some(path) = &set.script else {
        if set.steps.is_empty() {
            // Without a script the phone listens until the other side hangs up.
            return Ok(Script { steps: vec!["stay".parse().expect("is a step")] });
        }
        return Ok(Script { steps: set.steps.clone() });
    };
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Script::parse(&text).with_context(|| path.display().to_string())
}

async fn clips(script: &Script, voice: &VoiceArgs) -> anyhow::Result<Vec<clip::Clip>> {
    if !script.lines().any(|line| matches!(line, Line::Text(_))) {
        return Ok(clip::prepare(script, None, None).await?);
    }
    let voice = local::start_voice(voice).await?;
    let clips = clip::prepare(script, Some(&*voice.voice()?), None).await;
    voice.shut_down().await;
    Ok(clips?)
}

fn settings(set: &Set, ring_for: Duration) -> anyhow::Result<Settings> {
    let account = match &set.register {
        None => None,
        Some(registrar) => Some(Account {
            registrar: registrar.clone(),
            credentials: sip::Credentials {
                username: set.username.clone().unwrap_or_default(),
                password: password(set)?.into(),
            },
            expires: Duration::from_secs(300),
        }),
    };
    let mut settings = Settings {
        listen: set.listen,
        ports: set.rtp_ports.clone(),
        user: set.username.clone().filter(|_| account.is_some()).unwrap_or_else(|| set.user.clone()),
        display: set.display.clone(),
        account,
        proxy: set.proxy.clone(),
        record: set.record.clone(),
        longest: set.max_duration,
        ring_for,
        srtp: set.srtp,
        ..Settings::default()
    };
    settings.ear.pause = set.pause;
    if !set.codecs.is_empty() {
        settings.codecs = set.codecs.clone();
    }
    Ok(settings)
}

fn password(set: &Set) -> anyhow::Result<String> {
    match &set.password_file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => Ok(std::env::var("OFFHOOK_PHONE_PASSWORD").unwrap_or_default()),
    }
}

/// `100` at the registrar or proxy, or a URI as it is.
fn uri(target: &str, set: &Set) -> anyhow::Result<sip::Uri> {
    if target.contains(':') {
        return target.parse().with_context(|| format!("{target} is no URI"));
    }
    let Some(home) = set.register.as_ref().or(set.proxy.as_ref()) else {
        bail!("{target} is no SIP URI; write sip:{target}@HOST, or give --register or --proxy");
    };
    let host = home.host().with_context(|| format!("{home} has no host"))?;
    Ok(sip::Uri::sip(Some(target), host.clone(), home.port()))
}

fn time(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|error| error.to_string())
}

fn srtp(text: &str) -> Result<Srtp, String> {
    text.parse().map_err(|()| format!("{text} is none of off, optional and required"))
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("{text} is no range of ports; write it as 30000-30999");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first < last => Ok(first..=last),
        _ => Err(wrong()),
    }
}

/// Ends when the phone has gone.
fn print(mut events: mpsc::Receiver<Stamped>) {
    let mut out = std::io::stdout().lock();
    while let Some(event) = events.blocking_recv() {
        let Ok(line) = serde_json::to_string(&event) else { continue };
        // Who closed the pipe does not want to read on; the call goes on nevertheless.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
