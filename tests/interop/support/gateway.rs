//! The gateway under test: the release binary, with a configuration of its own, watched over its HTTP interface.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::http;
use super::kamailio::{DID, Kamailio};
use super::place::{Folder, HERE, free_port, free_ports};
use super::process::Process;
use super::watch::Watch;

/// Models are loaded at the start, maybe beside a compiler.
const READY: Duration = Duration::from_secs(120);

/// What the gateway is to be, in the words of its configuration file.
pub(crate) struct Plan {
    /// `None`: a trunk that does not register, and takes calls from loopback.
    pub(crate) registrar: Option<SocketAddr>,
    /// `None`: the local model.
    pub(crate) brain: Option<String>,
    pub(crate) prompt: &'static str,
    pub(crate) first_message: &'static str,
    /// The network whose calls are taken as the trunk's.
    pub(crate) allow: &'static str,
    /// Phones that register with the gateway; the password is the number.
    pub(crate) extensions: &'static [&'static str],
    pub(crate) max_calls: u32,
    /// How long a stop waits for calls to end by themselves.
    pub(crate) grace_s: u32,
    pub(crate) sip: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) media: (u16, u16),
    /// Further lines of the table [media].
    pub(crate) media_more: String,
    /// Further lines of the agent's table.
    pub(crate) agent: &'static str,
    /// Further tables of the file.
    pub(crate) more: &'static str,
}

impl Plan {
    pub(crate) fn new() -> Plan {
        Plan {
            registrar: None,
            brain: None,
            prompt: "You answer the telephone of a plumber. Use one short sentence.",
            first_message: "Good morning, this is the front desk. How can I help you today?",
            allow: "127.0.0.0/8",
            extensions: &[],
            max_calls: 10,
            grace_s: 1,
            sip: free_port(HERE),
            http: free_port(HERE),
            media: free_ports(120),
            media_more: String::new(),
            agent: "",
            more: "",
        }
    }

    pub(crate) fn behind(mut self, registrar: &Kamailio) -> Plan {
        self.registrar = Some(registrar.address);
        self
    }

    pub(crate) fn thinking_with(mut self, url: String) -> Plan {
        self.brain = Some(url);
        self
    }

    pub(crate) fn greeting(mut self, first_message: &'static str) -> Plan {
        self.first_message = first_message;
        self
    }

    pub(crate) fn at_most(mut self, max_calls: u32) -> Plan {
        self.max_calls = max_calls;
        self
    }

    /// The one place that knows how the gateway's configuration is written.
    fn toml(&self, data: &Path) -> String {
        let registrar = match self.registrar {
            Some(address) => {
                format!("registrar = \"sip:{address}\"\nusername = \"gw\"\npassword = \"gw-pw\"")
            }
            None => String::new(),
        };
        let (brain, definition) = match &self.brain {
            Some(url) => (
                "scripted",
                format!("[[brain]]\nname = \"scripted\"\nkind = \"chat-completions\"\nurl = \"{url}\"\n"),
            ),
            None => ("local", String::new()),
        };
        let (data, sip, http) = (data.display(), self.sip, self.http);
        let (first, last) = self.media;
        let extension = |number| format!("[[extension]]\nnumber = \"{number}\"\npassword = \"{number}\"\n");
        let extensions: String = self.extensions.iter().map(extension).collect();
        let Plan { allow, prompt, first_message, max_calls, grace_s, media_more, agent, more, .. } = self;
        format!(
            r#"data = "{data}"
[sip]
listen = "{sip}"
strangers = "refuse"
[media]
ports = "{first}-{last}"
{media_more}
[http]
listen = "{http}"
[[trunk]]
name = "carrier"
{registrar}
allow = ["{allow}"]
{definition}
{extensions}
[[agent]]
name = "front-desk"
prompt = "{prompt}"
first_message = "{first_message}"
disclosure = ""
brain = "{brain}"
{agent}
[[number]]
number = "{DID}"
agent = "front-desk"
trunk = "carrier"
[limits]
max_calls = {max_calls}
max_duration_s = 600
grace_s = {grace_s}
[recording]
enabled = true
[turn_taking]
idle_s = 120
[log]
private = true
{more}
"#
        )
    }
}

pub(crate) struct Gateway {
    pub(crate) sip: SocketAddr,
    pub(crate) http: SocketAddr,
    process: Process,
    key: String,
    events: Arc<Watch<Vec<Value>>>,
    data: PathBuf,
    folder: Folder,
}

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    let path = std::env::var_os("OFFHOOK_BIN").map(PathBuf::from);
    let path = path.or_else(|| option_env!("CARGO_BIN_EXE_offhook").map(PathBuf::from));
    let path = path.expect("OFFHOOK_BIN names the gateway's binary");
    assert!(path.exists(), "{} is missing: `make build` makes it", path.display());
    path
}

impl Gateway {
    /// Starts it and waits until it is ready for calls.
    pub(crate) fn start(plan: &Plan) -> Gateway {
        Gateway::start_on(plan, Folder::new("gateway"))
    }

    /// As above, with what an earlier one left in its folder.
    pub(crate) fn start_on(plan: &Plan, folder: Folder) -> Gateway {
        let data = folder.join("data");
        let process = spawn(plan, &folder, &data);
        process.wait_for_line("READY", READY);
        let key = std::fs::read_to_string(data.join("admin.key"))
            .unwrap_or_else(|error| panic!("admin.key: {error}\n{}", process.tail()))
            .trim()
            .to_owned();
        let events = Arc::new(Watch::<Vec<Value>>::default());
        let stream = http::events(plan.http, "/v1/events", &key)
            .unwrap_or_else(|error| panic!("/v1/events: {error}\n{}", process.tail()));
        let into = Arc::clone(&events);
        thread::spawn(move || stream.for_each(|event| into.change(|events| events.push(event))));
        Gateway { sip: plan.sip, http: plan.http, process, key, events, data, folder }
    }

    /// Starts one that is expected to refuse; returns how it ended and all that it said.
    pub(crate) fn refuse(plan: &Plan, data: Option<&Path>) -> (ExitStatus, String) {
        let folder = Folder::new("gateway-refused");
        let process = spawn(plan, &folder, data.unwrap_or(&folder.join("data")));
        let status = process.wait(READY);
        (status, process.output(super::SOON))
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    pub(crate) fn tail(&self) -> String {
        self.process.tail()
    }

    /// The gateway and its engines.
    pub(crate) fn family(&self) -> Vec<(u32, String)> {
        self.process.family()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let response = http::get(self.http, path, Some(&self.key))
            .unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.tail()));
        assert_eq!(response.status, 200, "GET {path}: {response:?}\n{}", self.tail());
        response.json()
    }

    /// Places a call and returns its id.
    pub(crate) fn place_call(&self, from: &str, to: &str) -> String {
        let body = json!({ "from": from, "to": to });
        let response = http::post(self.http, "/v1/calls", Some(&self.key), &body)
            .unwrap_or_else(|error| panic!("POST /v1/calls: {error}\n{}", self.tail()));
        assert!((200..300).contains(&response.status), "POST /v1/calls: {response:?}\n{}", self.tail());
        let call = response.json();
        call["id"].as_str().unwrap_or_else(|| panic!("no id in {call}")).to_owned()
    }

    /// What a monitor reads.
    pub(crate) fn metrics(&self) -> String {
        http::get(self.http, "/metrics", Some(&self.key)).expect("an answer to /metrics").body
    }

    pub(crate) fn call(&self, id: &str) -> Value {
        self.get(&format!("/v1/calls/{id}"))
    }

    /// What `look` finds in the events so far, now or within the time. Panics with the events that were.
    pub(crate) fn wait<R>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&[Value]) -> Option<R>,
    ) -> R {
        self.events.wait(within, |events| look(events)).unwrap_or_else(|| {
            let seen: Vec<String> = self.events.read(|events| events.iter().map(Value::to_string).collect());
            panic!(
                "{what} did not come within {within:?}. The events were:\n{}\n{}",
                seen.join("\n"),
                self.tail()
            )
        })
    }

    /// The first event of this kind of that call.
    pub(crate) fn wait_event(&self, kind: &str, call: &str, within: Duration) -> Value {
        self.wait(&format!("{kind} of {call}"), within, |events| {
            events.iter().find(|event| event["type"] == kind && event["call_id"] == call).cloned()
        })
    }

    /// The id of the `count`-th call since the start, as soon as it is answered.
    pub(crate) fn wait_call(&self, count: usize, within: Duration) -> String {
        let started = self.wait(&format!("call.started, number {count}"), within, |events| {
            events.iter().filter(|event| event["type"] == "call.started").nth(count - 1).cloned()
        });
        started["call_id"].as_str().expect("every event of a call names it").to_owned()
    }

    /// Waits until so many speeches of the agent are over, the greeting counted. Between its clauses a phone hears silence
    /// too, and on a busy machine a long one.
    pub(crate) fn wait_turns(&self, call: &str, count: usize, within: Duration) {
        self.wait(&format!("call.turn of {call}, number {count}"), within, |events| {
            events
                .iter()
                .filter(|event| event["type"] == "call.turn" && event["call_id"] == call)
                .nth(count - 1)
                .cloned()
        });
    }

    pub(crate) fn count_events(&self, kind: &str) -> usize {
        self.events.read(|events| events.iter().filter(|event| event["type"] == kind).count())
    }

    pub(crate) fn events_of(&self, kind: &str, call: &str) -> Vec<Value> {
        let matches = |event: &&Value| event["type"] == kind && event["call_id"] == call;
        self.events.read(|events| events.iter().filter(matches).cloned().collect())
    }

    /// As Ctrl-C would.
    pub(crate) fn interrupt(&self) {
        self.process.signal(Signal::INT);
    }

    /// Waits for its end and returns what is left on the disk.
    pub(crate) fn left(self, within: Duration) -> (ExitStatus, Folder) {
        (self.process.wait(within), self.folder)
    }

    pub(crate) fn hang_up(&self, call: &str) {
        self.order(&format!("/v1/calls/{call}/hangup"), &json!({}));
    }

    pub(crate) fn transfer(&self, call: &str, to: &str) {
        self.order(&format!("/v1/calls/{call}/transfer"), &json!({ "to": to }));
    }

    /// Has somebody attend a call or, without `to`, attend it in another way.
    pub(crate) fn supervise(&self, call: &str, to: Option<&str>, mode: &str) {
        self.order(&format!("/v1/calls/{call}/supervise"), &json!({ "to": to, "mode": mode }));
    }

    /// The answer to a POST that goes well.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let response = http::post(self.http, path, Some(&self.key), body)
            .unwrap_or_else(|error| panic!("POST {path}: {error}\n{}", self.tail()));
        assert!((200..300).contains(&response.status), "POST {path}: {response:?}\n{}", self.tail());
        response.json()
    }

    fn order(&self, path: &str, body: &Value) {
        let response = http::post(self.http, path, Some(&self.key), body)
            .unwrap_or_else(|error| panic!("POST {path}: {error}\n{}", self.tail()));
        assert!((200..300).contains(&response.status), "POST {path}: {response:?}\n{}", self.tail());
    }

    /// The record of a call that has ended: it is complete when its transcript and its recording are.
    pub(crate) fn record(&self, call: &str, within: Duration) -> Record {
        for kind in ["call.ended", "call.transcript.ready", "call.recording.ready"] {
            self.wait_event(kind, call, within);
        }
        Record(self.call(call))
    }
}

fn spawn(plan: &Plan, folder: &Folder, data: &Path) -> Process {
    let config = folder.write("offhook.toml", &plan.toml(data));
    Process::spawn("offhook", binary(), &["serve", "--config", &config.display().to_string()], |_| ())
}

/// What is written down of one call.
#[derive(Debug)]
pub(crate) struct Record(pub(crate) Value);

impl Record {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("{key} is no text in {}", self.0))
    }

    /// All that one side said, by the transcript.
    pub(crate) fn words_of(&self, speaker: &str) -> String {
        let fragments =
            self.0["transcript"].as_array().unwrap_or_else(|| panic!("no transcript in {}", self.0));
        let of_speaker = fragments.iter().filter(|fragment| fragment["speaker"] == speaker);
        of_speaker.filter_map(|fragment| fragment["text"].as_str()).collect::<Vec<_>>().join(" ")
    }

    /// The recording, which the record says is there.
    pub(crate) fn recording(&self, data: &Path) -> PathBuf {
        assert_eq!(self.0["recordings"][0]["part"], 0, "there is no recording in {}", self.0);
        data.join("recordings/acct_0000000000000000").join(format!("{}.wav", self.text("id")))
    }
}
