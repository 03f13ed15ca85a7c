//! A real softphone: baresip, driven over its control socket (JSON in netstrings).
//!
//! Every phone has an address of its own, plays a WAV file as its microphone and records what it hears. Its microphone
//! can be changed in mid-call, so that a test lets it speak when something has happened, not when time has passed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::kamailio::Kamailio;
use super::place::{Folder, free_port, free_ports, own_address};
use super::process::Process;
use super::speech::Wav;
use super::watch::Watch;

/// What it speaks where nothing else is said.
const G711: &str = "PCMU/8000/1,PCMA/8000/1";
const READY: Duration = Duration::from_secs(20);
/// A call's WAV must outlast the call: baresip hangs up when it ends.
const LONGEST_CALL: Duration = Duration::from_secs(180);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    AtOnce,
    ByHand,
}

/// The level meter's reports come about twice a second, in dB.
const SOUND: f64 = -45.0;
const QUIET: f64 = -55.0;
const QUIET_REPORTS: usize = 3;

#[derive(Clone, Copy)]
pub(crate) struct Moment(usize);

pub(crate) struct Baresip {
    process: Process,
    control: TcpStream,
    messages: Arc<Watch<Vec<Value>>>,
    folder: Folder,
}

impl Baresip {
    /// Starts a phone for `user` of the registrar and waits until it is registered.
    pub(crate) fn start(user: &str, password: &str, registrar: &Kamailio, answer: Answer) -> Baresip {
        Baresip::speaking(G711, user, password, registrar, answer)
    }

    /// The same with codecs of its own, by baresip's names.
    pub(crate) fn speaking(
        codecs: &str,
        user: &str,
        password: &str,
        registrar: &Kamailio,
        answer: Answer,
    ) -> Baresip {
        let phone = Baresip::start_at(codecs, user, password, registrar.address, answer);
        registrar.wait_registered(user, 1, READY);
        phone
    }

    /// The same at any registrar; the phone itself says when it is registered.
    pub(crate) fn register_at(user: &str, password: &str, registrar: SocketAddr, answer: Answer) -> Baresip {
        Baresip::register_speaking(G711, user, password, registrar, answer)
    }

    /// The same with codecs of its own, and with whatever else its account says behind them, as in `;mediaenc=srtp-mand`.
    pub(crate) fn register_speaking(
        codecs: &str,
        user: &str,
        password: &str,
        registrar: SocketAddr,
        answer: Answer,
    ) -> Baresip {
        let phone = Baresip::start_at(codecs, user, password, registrar, answer);
        // Its event may be older than our connection to the control socket.
        phone.process.wait_for_line("200 OK", READY);
        phone
    }

    fn start_at(codecs: &str, user: &str, password: &str, registrar: SocketAddr, answer: Answer) -> Baresip {
        let folder = Folder::new(&format!("baresip-{user}"));
        let ip = own_address();
        let address = free_port(ip);
        let control = free_port(ip);
        let (first_port, last_port) = free_ports(40);
        std::fs::create_dir(folder.join("heard")).expect("the folder is ours");
        Wav::silence(LONGEST_CALL).write(&folder.join("silence.wav"));
        folder.write(
            "accounts",
            &format!(
                "<sip:{user}@{};transport=udp>;auth_user={user};auth_pass={password};regint=60;\
                 audio_codecs={codecs};answermode={}\n",
                registrar,
                if answer == Answer::AtOnce { "auto" } else { "manual" },
            ),
        );
        folder.write("config", &settings(address, control, folder.path(), first_port, last_port));
        let process = Process::spawn(
            &format!("baresip of {user}"),
            "baresip",
            &["-4", "-f", &folder.path().display().to_string()],
            |_| (),
        );
        process.wait_for_line("baresip is ready", READY);
        let control =
            TcpStream::connect(control).expect("baresip listens on its control socket once it is ready");
        let messages = Arc::new(Watch::<Vec<Value>>::default());
        let from = control.try_clone().expect("a socket can be cloned");
        let into = Arc::clone(&messages);
        thread::spawn(move || read_netstrings(from, &into));
        Baresip { process, control, messages, folder }
    }

    pub(crate) fn dial(&self, uri: &str) {
        self.command("dial", uri);
    }

    pub(crate) fn accept(&self) {
        self.command("accept", "");
    }

    pub(crate) fn hang_up(&self) {
        self.command("hangup", "");
    }

    pub(crate) fn hold(&self) {
        self.command("hold", "");
    }

    pub(crate) fn resume(&self) {
        self.command("resume", "");
    }

    /// Blind transfer: REFER.
    pub(crate) fn transfer(&self, uri: &str) {
        self.command("transfer", uri);
    }

    pub(crate) fn press(&self, digit: char) {
        self.command("sndcode", &digit.to_string());
    }

    /// Speaks `speech` once into the running call, and is silent afterwards.
    pub(crate) fn say(&self, speech: &Wav) {
        let name = format!("speech-{}.wav", self.messages.read(Vec::len));
        let path = self.folder.join(&name);
        speech.then_silence(LONGEST_CALL).write(&path);
        self.command("ausrc", &format!("aufile,{}", path.display()));
    }

    /// Waits for the `count`-th event of this type since the phone was started, and returns it.
    pub(crate) fn wait_event(&self, kind: &str, count: usize, within: Duration) -> Value {
        let found = self.messages.wait(within, |messages| {
            messages.iter().filter(|message| message["type"] == kind).nth(count - 1).cloned()
        });
        found.unwrap_or_else(|| {
            let seen = self.messages.read(|messages| {
                messages.iter().filter_map(|message| message["type"].as_str()).collect::<Vec<_>>().join(", ")
            });
            panic!("the phone had no {kind} within {within:?}; it had: {seen}\n{}", self.process.tail())
        })
    }

    pub(crate) fn wait_established(&self, within: Duration) {
        self.wait_event("CALL_ESTABLISHED", 1, within);
    }

    pub(crate) fn wait_closed(&self, within: Duration) -> Value {
        self.wait_event("CALL_CLOSED", 1, within)
    }

    /// Waits until the phone itself reports a digit that it was sent.
    pub(crate) fn wait_heard_digit(&self, digit: char, within: Duration) {
        self.process.wait_for_line(&format!("received event: '{digit}'"), within);
    }

    /// How long a digit lasted that it was sent, from the event's first packet to the first that says its end.
    pub(crate) fn held(&self, digit: char, within: Duration) -> Duration {
        let moment =
            |end| self.process.moment_of_line(&format!("received event: '{digit}' (end={end})"), within);
        let (pressed, released) = (moment(0), moment(1));
        released.saturating_duration_since(pressed)
    }

    /// A point in what this phone has told, to wait from.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.messages.read(Vec::len))
    }

    /// Waits until the phone's own level meter has seen sound since that moment and sees quiet now.
    pub(crate) fn wait_sound_and_quiet(&self, since: Moment, within: Duration) {
        let done = self.messages.wait(within, |messages| {
            let levels: Vec<f64> = messages[since.0..].iter().filter_map(level_heard).collect();
            let sound = levels.iter().any(|level| *level > SOUND);
            let quiet = levels.iter().rev().take_while(|level| **level < QUIET).count() >= QUIET_REPORTS;
            (sound && quiet).then_some(())
        });
        if done.is_none() {
            let levels: Vec<f64> =
                self.messages.read(|messages| messages.iter().filter_map(level_heard).collect());
            panic!("no sound and then quiet within {within:?}; levels: {levels:?}\n{}", self.process.tail());
        }
    }

    /// Waits for the level meter's next report: a phone's own clock.
    pub(crate) fn wait_level(&self, since: Moment, within: Duration) {
        let told = self.messages.wait(within, |messages| messages[since.0..].iter().find_map(level_heard));
        assert!(told.is_some(), "the level meter told nothing within {within:?}\n{}", self.process.tail());
    }

    /// What the phone has heard in its call so far; complete when the call is closed.
    pub(crate) fn heard(&self) -> PathBuf {
        let files = std::fs::read_dir(self.folder.join("heard")).expect("made at the start").flatten();
        let mut heard: Vec<PathBuf> = files
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        heard.sort();
        heard.pop().unwrap_or_else(|| panic!("the phone recorded nothing\n{}", self.process.tail()))
    }

    fn command(&self, command: &str, parameters: &str) {
        let token = format!("{command}-{}", self.messages.read(Vec::len));
        let message = json!({ "command": command, "params": parameters, "token": token }).to_string();
        (&self.control)
            .write_all(format!("{}:{message},", message.len()).as_bytes())
            .expect("the phone reads its control socket");
        let response = self.messages.wait(READY, |messages| {
            messages.iter().find(|message| message["token"] == token.as_str()).cloned()
        });
        let response = response.unwrap_or_else(|| panic!("no answer to {command}\n{}", self.process.tail()));
        assert_eq!(response["ok"], true, "the phone refused {command} {parameters}: {response}");
    }
}

fn level_heard(message: &Value) -> Option<f64> {
    (message["type"] == "VU_RX_REPORT").then(|| message["param"].as_str()?.parse().ok())?
}

fn settings(sip: SocketAddr, control: SocketAddr, folder: &Path, first_port: u16, last_port: u16) -> String {
    let ip = sip.ip();
    let folder = folder.display();
    format!(
        "poll_method epoll
sip_listen {sip}
net_interface {ip}
call_local_timeout 120
call_max_calls 4
audio_source aufile,{folder}/silence.wav
audio_player aubridge,ear
audio_alert aubridge,alert
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports {first_port}-{last_port}
rtp_stats yes
module_path /usr/lib/baresip/modules
module g711.so
module srtp.so
module g722.so
module opus.so
module sndfile.so
snd_path {folder}/heard
module aufile.so
module aubridge.so
module vumeter.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {control}
"
    )
}

fn read_netstrings(mut from: TcpStream, into: &Watch<Vec<Value>>) {
    let mut waiting = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        waiting.extend_from_slice(&chunk[..read]);
        while let Some((message, used)) = first_netstring(&waiting) {
            into.change(|messages| messages.push(message));
            waiting.drain(..used);
        }
    }
}

/// The first whole netstring's message, and how many bytes it took.
fn first_netstring(bytes: &[u8]) -> Option<(Value, usize)> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let message = bytes.get(colon + 1..colon + 1 + length)?;
    bytes.get(colon + 1 + length)?;
    Some((serde_json::from_slice(message).unwrap_or(Value::Null), colon + length + 2))
}

#[test]
fn a_netstring_is_taken_only_when_it_is_whole() {
    assert_eq!(first_netstring(b"7:{\"a\":1}"), None);
    assert_eq!(first_netstring(b"7:{\"a\":1},3:1"), Some((json!({ "a": 1 }), 10)));
}
