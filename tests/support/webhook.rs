//! A client's own server, in Python: `webhook.py` beside this file. Of its own, so that nothing of ours judges ours.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub(crate) struct Webhook {
    child: Child,
    port: u16,
}

impl Webhook {
    /// Answers the n-th question with the n-th sentence, and with the last one from then on.
    pub(crate) fn that_says(sentences: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/webhook.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args(sentences)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("its port");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("no port in {line:?}"));
        Self { child, port }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What deliveries are signed with from now on.
    pub(crate) fn trust(&self, secret: &str) {
        curl(&["-X", "POST", "--data-binary", secret, &self.url("/secret")]);
    }

    /// What came, once there are so many questions and events; or what there is after half a minute.
    pub(crate) fn seen(&self, voice: usize, events: usize) -> Value {
        let text = curl(&[&self.url(&format!("/seen?voice={voice}&events={events}&within=30"))]);
        let seen: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"));
        let count = |what: &str| seen[what].as_array().map_or(0, Vec::len);
        assert!(count("voice") >= voice && count("events") >= events, "not so much came: {seen:#}");
        seen
    }
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--max-time", "60"]).args(arguments).output();
    let output = output.expect("curl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it answers in UTF-8")
}

impl Drop for Webhook {
    fn drop(&mut self) {
        // It ends when its standard input does; whether it is gone already does not matter.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
