//! A scripted brain: an HTTP server that streams chat completions as OpenAI does.
//!
//! The words are the test's, so that what must be heard is known; the ears and the mouth around them are real.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::place::HERE;
use super::watch::Watch;

/// What it answers a request with.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Says(&'static str),
    /// Asks for `press_digits` with these, and says nothing.
    Presses(&'static str),
}

type Answering = dyn Fn(usize, &str) -> Answer + Send + Sync;

pub(crate) struct Brain {
    pub(crate) address: SocketAddr,
    requests: Arc<Watch<Vec<Value>>>,
}

impl Brain {
    /// Answers the n-th request with the n-th sentence, and with the last one from then on.
    pub(crate) fn that_says(script: &'static [&'static str]) -> Brain {
        Brain::asked(move |n, _| Answer::Says(script[n.min(script.len()) - 1]))
    }

    /// Answers by what the caller has said last, however often it is asked.
    pub(crate) fn that_answers(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Brain {
        Brain::asked(move |_, heard| answer(heard))
    }

    /// The n-th request is asked for its answer by its number, from 1, and by the caller's last words.
    fn asked(answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Brain {
        let listener = TcpListener::bind((HERE, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let requests = Arc::new(Watch::<Vec<Value>>::default());
        let seen = Arc::clone(&requests);
        let answer: Arc<Answering> = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || {
                    // A gateway that hangs up in mid-answer has been interrupted, which is no error here.
                    let _ = reply(stream, &*answer, &seen);
                });
            }
        });
        Brain { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/chat/completions", self.address)
    }

    /// What the caller was understood to have said in the latest request, once there are `count` of them.
    pub(crate) fn wait_request(&self, count: usize, within: Duration) -> String {
        let request = self.requests.wait(within, |requests| requests.get(count - 1).cloned());
        let request =
            request.unwrap_or_else(|| panic!("the brain was not asked {count} times within {within:?}"));
        heard(&request).to_owned()
    }
}

/// The caller's last words.
fn heard(request: &Value) -> &str {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let asked = messages.iter().rev().find(|message| message["role"] == "user");
    asked.and_then(|message| message["content"].as_str()).unwrap_or_default()
}

fn reply(stream: TcpStream, answer: &Answering, seen: &Watch<Vec<Value>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request: Value = serde_json::from_slice(&body)?;
    let words = heard(&request).to_owned();
    let turn = seen.change(|requests| {
        requests.push(request);
        requests.len()
    });
    let answer = answer(turn, &words);
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")?;
    let chunk = |delta: Value, finish: Value| {
        json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "scripted",
                "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
    };
    write!(stream, "data: {}\n\n", chunk(json!({ "role": "assistant", "content": "" }), Value::Null))?;
    let finish = match answer {
        Answer::Says(sentence) => {
            for word in sentence.split_inclusive(' ') {
                write!(stream, "data: {}\n\n", chunk(json!({ "content": word }), Value::Null))?;
            }
            "stop"
        }
        Answer::Presses(digits) => {
            let arguments = json!({ "digits": digits }).to_string();
            let function = json!({ "name": "press_digits", "arguments": arguments });
            let call =
                json!({ "index": 0, "id": format!("call_{turn}"), "type": "function", "function": function });
            write!(stream, "data: {}\n\n", chunk(json!({ "tool_calls": [call] }), Value::Null))?;
            "tool_calls"
        }
    };
    write!(stream, "data: {}\n\ndata: [DONE]\n\n", chunk(json!({}), json!(finish)))
}
