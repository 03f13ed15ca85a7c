//! What the spectator of a demo sees.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::super::rehearsal::Seen;
use crate::config::Config;
use crate::phone::Event;

pub(super) struct Stage {
    colour: bool,
    /// A line without its end stands on the terminal.
    open_line: bool,
    /// Of the answer that is being heard, and of the one before, which an interruption may have cut.
    voice_to_voice: Option<u64>,
    before: Option<u64>,
    told: BTreeMap<&'static str, Duration>,
}

const DIM: &str = "2";
const BOLD: &str = "1";
const CALLER: &str = "36";
const AGENT: &str = "32";
const RED: &str = "31";

impl Stage {
    pub(super) fn new() -> Stage {
        Stage {
            colour: std::io::stdout().is_terminal(),
            open_line: false,
            voice_to_voice: None,
            before: None,
            told: BTreeMap::new(),
        }
    }

    pub(super) fn starting(&mut self, config: &Path) {
        self.line(BOLD, &format!("Starting a gateway with {}", config.display()));
    }

    /// On a terminal one line that counts; elsewhere a line every ten seconds.
    pub(super) fn waiting(&mut self, elapsed: Duration) {
        if self.colour {
            print!("\r  loading ear, mind and mouth … {:.1} s", elapsed.as_secs_f32());
            let _ = std::io::stdout().flush();
            self.open_line = true;
        } else {
            let told = self.told.entry("waiting").or_default();
            if elapsed.saturating_sub(*told) >= Duration::from_secs(10) {
                *told = elapsed;
                println!("  still loading after {} s", elapsed.as_secs());
            }
        }
    }

    pub(super) fn ready(&mut self, config: &Config) {
        let number = config.numbers.first().map_or("?", |number| number.number.as_str());
        self.line(
            DIM,
            &format!(
                "  ready: {number} on {}, {} + {} + {}",
                config.sip.listen, config.engines.stt, config.engines.llm, config.engines.tts
            ),
        );
    }

    pub(super) fn checking(&mut self) {
        self.line(BOLD, "Checking what was heard against what was said");
    }

    pub(super) fn problem(&mut self, problem: &str) {
        self.line(RED, &format!("  ✗ {problem}"));
    }

    pub(super) fn show(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Phone(stamped) => self.phone(&stamped.event),
            Seen::Gateway(event) => self.gateway(event),
        }
    }

    fn phone(&mut self, event: &Event) {
        match event {
            Event::Calling { to } => self.line(BOLD, &format!("Calling {to}")),
            Event::Answered { codec } => self.line(DIM, &format!("  answered, {codec}")),
            Event::Playing { text, interrupting, .. } => {
                self.before = self.voice_to_voice.take();
                let how = if *interrupting { "CALLER" } else { "caller" };
                self.speech(CALLER, how, text);
            }
            Event::AgentSpeechStart { voice_to_voice_ms } => {
                self.voice_to_voice = voice_to_voice_ms.or(self.voice_to_voice);
            }
            Event::Stopped { stop_ms } => {
                self.line(
                    DIM,
                    &format!("           the agent stopped {stop_ms} ms after the caller began to speak"),
                );
            }
            Event::GaveUp { .. } => self.line(RED, "           nothing was heard for too long"),
            Event::NothingToInterrupt { .. } => {
                self.line(RED, "           there was nothing to be interrupted")
            }
            Event::Ended { by, cause, .. } => self.line(DIM, &format!("  ended: {cause}, {by}")),
            _ => {}
        }
    }

    fn gateway(&mut self, event: &Value) {
        if event["type"] != "call.turn" {
            return;
        }
        let event = &event["data"];
        let text = |key: &str| event[key].as_str().unwrap_or_default();
        let heard = text("heard");
        if !heard.is_empty() {
            self.line(DIM, &format!("           heard: {heard}"));
        }
        let cut = event["interrupted"].as_bool().unwrap_or(false);
        let said = if cut { format!("{} —", text("said")) } else { text("said").to_owned() };
        self.speech(AGENT, "agent", &said);
        let voice_to_voice = if cut { self.before } else { self.voice_to_voice };
        let stages = [
            ("transcribed", event["stt_ms"].as_u64()),
            ("first token", event["llm_first_token_ms"].as_u64()),
            ("first sound", event["tts_first_audio_ms"].as_u64()),
            ("voice to voice at the caller's ear", voice_to_voice.filter(|_| !heard.is_empty())),
        ];
        let times: Vec<_> =
            stages.iter().filter_map(|(name, ms)| ms.map(|ms| format!("{name} {ms} ms"))).collect();
        if !times.is_empty() {
            self.line(DIM, &format!("           {}", times.join(" · ")));
        }
    }

    fn speech(&mut self, colour: &str, who: &str, text: &str) {
        let who = self.paint(colour, &format!("{who:>7}"));
        self.close_line();
        println!("{who}  {text}");
    }

    fn line(&mut self, colour: &str, text: &str) {
        self.close_line();
        println!("{}", self.paint(colour, text));
    }

    fn close_line(&mut self) {
        if std::mem::take(&mut self.open_line) {
            println!();
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
