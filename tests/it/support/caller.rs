//! A softphone with recorded speech, that calls the world.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use offhook::phone::{Outcome, Phone, Script, Settings, Stamped, Stop, clip};
use tokio::sync::mpsc;

use super::World;
use crate::ports::free_ports;

/// Recorded speech of a person, 8 kHz: a prompt of Debian's asterisk-core-sounds-en-wav.
pub(crate) fn prompt(name: &str) -> PathBuf {
    let path = PathBuf::from(format!("/usr/share/asterisk/sounds/en_US_f_Allison/{name}.wav"));
    assert!(path.exists(), "{} is missing: apt install asterisk-core-sounds-en-wav", path.display());
    path
}

pub(crate) struct Caller {
    phone: Phone,
    /// Read as it comes: a phone waits for its reader.
    events: tokio::task::JoinHandle<Vec<Stamped>>,
}

impl Caller {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let first = free_ports(Ipv4Addr::UNSPECIFIED.into(), 20);
        let settings = Settings { ports: first..=first + 19, ..settings };
        let (out, mut events) = mpsc::channel(64);
        let phone = Phone::start(settings, out).await.unwrap();
        let events = tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(event) = events.recv().await {
                seen.push(event);
            }
            seen
        });
        Self { phone, events }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.phone.local_addr()
    }

    /// Calls `user` and goes through a script; gives what came of it and everything that happened.
    pub(crate) async fn call(mut self, world: &World, user: &str, script: &str) -> (Outcome, Vec<Stamped>) {
        let (script, clips) = ready(script).await;
        let to = format!("sip:{user}@{}", world.sip).parse().unwrap();
        let outcome = self.phone.call(&to, &script, clips, &Stop::new()).await.unwrap();
        (outcome, self.end().await)
    }

    /// Waits to be called.
    pub(crate) async fn answer(mut self, script: &str) -> (Outcome, Vec<Stamped>) {
        let (script, clips) = ready(script).await;
        let patience = std::time::Duration::from_secs(20);
        let outcome = self.phone.answer(patience, &script, clips, &Stop::new()).await.unwrap();
        (outcome, self.end().await)
    }

    async fn end(self) -> Vec<Stamped> {
        self.phone.shut_down().await;
        self.events.await.unwrap()
    }
}

async fn ready(script: &str) -> (Script, Vec<clip::Clip>) {
    let script = Script::parse(script).unwrap();
    let clips = clip::prepare(&script, None, None).await.unwrap();
    (script, clips)
}
