//! A very small HTTP client. It speaks HTTP/1.0, so that every body ends where the connection does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

pub(crate) fn get(to: SocketAddr, path: &str, key: Option<&str>) -> std::io::Result<Response> {
    send(to, "GET", path, key, None)
}

pub(crate) fn post(to: SocketAddr, path: &str, key: Option<&str>, body: &Value) -> std::io::Result<Response> {
    send(to, "POST", path, key, Some(body))
}

fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> std::io::Result<Response> {
    let mut reader = request(to, method, path, key, body)?;
    let status = read_head(&mut reader)?;
    let mut body = String::new();
    reader.read_to_string(&mut body)?;
    Ok(Response { status, body })
}

/// Opens a stream of server-sent events; every `data:` line is one JSON value. Ends when the server closes it.
pub(crate) fn events(
    to: SocketAddr,
    path: &str,
    key: &str,
) -> std::io::Result<impl Iterator<Item = Value> + Send + 'static> {
    let mut reader = request(to, "GET", path, Some(key), None)?;
    let status = read_head(&mut reader)?;
    if status != 200 {
        return Err(std::io::Error::other(format!("{path} answered {status}")));
    }
    reader.get_ref().set_read_timeout(None)?; // who waits for an event has a deadline of their own
    Ok(reader
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()))
}

fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> std::io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let body = body.map(Value::to_string);
    let kind = match &body {
        Some(body) => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
        None => String::new(),
    };
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {to}\r\n{key}{kind}\r\n{}", body.unwrap_or_default())?;
    Ok(BufReader::new(stream))
}

fn read_head(reader: &mut impl BufRead) -> std::io::Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header == "\r\n" {
            break;
        }
    }
    status.ok_or_else(|| std::io::Error::other(format!("no status in {line:?}")))
}
