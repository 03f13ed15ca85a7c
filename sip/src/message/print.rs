//! From a message to bytes. Content-Length is always ours, and always last.

use bytes::{BufMut, Bytes, BytesMut};

use super::headers::{Headers, name};
use super::parse::{Message, Request, Response};

impl Message {
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }

    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }
}

impl Request {
    pub fn to_bytes(&self) -> Bytes {
        print(&format!("{} {} SIP/2.0", self.method, self.uri), &self.headers, &self.body)
    }
}

impl Response {
    pub fn to_bytes(&self) -> Bytes {
        let reason = self.reason.replace(['\r', '\n'], " ");
        print(&format!("SIP/2.0 {} {reason}", self.status), &self.headers, &self.body)
    }
}

fn print(start_line: &str, headers: &Headers, body: &[u8]) -> Bytes {
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut out = BytesMut::with_capacity(start_line.len() + size + body.len() + 32);
    out.put_slice(start_line.as_bytes());
    out.put_slice(b"\r\n");
    for (header, value) in headers.iter().filter(|(header, _)| *header != name::CONTENT_LENGTH) {
        out.put_slice(header.as_bytes());
        out.put_slice(b": ");
        out.put_slice(value);
        out.put_slice(b"\r\n");
    }
    out.put_slice(name::CONTENT_LENGTH.as_bytes());
    out.put_slice(format!(": {}\r\n\r\n", body.len()).as_bytes());
    out.put_slice(body);
    out.freeze()
}
