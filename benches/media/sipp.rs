//! Peers that nobody here wrote: SIPp rings, and streams a file to each line that is answered. It never looks at what comes back, so of lost packets only the
//! engine's own count is known, and nothing of their spacing.

use std::error::Error;
use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Rings a second.
const RATE: usize = 50;
/// SIPp rings again and again; when nothing comes for so long it will not.
const PATIENCE: Duration = Duration::from_secs(5);
/// Below the ports that the system gives to others, beside those of the engines.
const MEDIA_PORT: u16 = 24_400;

const SCENARIO: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<scenario name="speaks without end">
  <send retrans="500"><![CDATA[

    INVITE sip:line@[remote_ip]:[remote_port] SIP/2.0
    Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
    Max-Forwards: 70
    From: <sip:peer@[local_ip]:[local_port]>;tag=[call_number]
    To: <sip:line@[remote_ip]:[remote_port]>
    Call-ID: [call_id]
    CSeq: 1 INVITE
    Contact: <sip:peer@[local_ip]:[local_port]>
    Content-Type: application/sdp
    Content-Length: [len]

    v=0
    o=- 1 1 IN IP4 [local_ip]
    s=-
    c=IN IP4 [local_ip]
    t=0 0
    m=audio [rtpstream_audio_port] RTP/AVP 0
    a=rtpmap:0 PCMU/8000

  ]]></send>
  <recv response="200"/>
  <send><![CDATA[

    ACK sip:line@[remote_ip]:[remote_port] SIP/2.0
    Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
    Max-Forwards: 70
    From: <sip:peer@[local_ip]:[local_port]>;tag=[call_number]
    To: <sip:line@[remote_ip]:[remote_port]>[peer_tag_param]
    Call-ID: [call_id]
    CSeq: 1 ACK
    Content-Length: 0

  ]]></send>
  <nop><action><exec rtp_stream="SPEECH,-1,0,PCMU/8000"/></action></nop>
  <pause milliseconds="3600000"/>
</scenario>
"#;

pub(crate) struct Sipp {
    process: Child,
    answering: UdpSocket,
    folder: PathBuf,
    /// Who has been answered, for the copies of their INVITEs.
    known: Vec<String>,
}

/// Somebody rings.
pub(crate) struct Ringing {
    invite: String,
    from: SocketAddr,
    /// Where their sound comes from and goes to.
    pub(crate) media: SocketAddr,
}

impl Sipp {
    /// `calls` peers that say `said`, µ-law, each from its beginning.
    pub(crate) fn start(calls: usize, said: &[u8]) -> Result<Self, Box<dyn Error>> {
        let answering = UdpSocket::bind("127.0.0.1:0")?;
        answering.set_read_timeout(Some(PATIENCE))?;
        let folder = std::env::temp_dir().join(format!("offhook-bench-sipp-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let (speech, scenario) = (folder.join("speech.ulaw"), folder.join("speaks.xml"));
        std::fs::write(&speech, said)?;
        std::fs::write(&scenario, SCENARIO.replace("SPEECH", &speech.to_string_lossy()))?;
        let process = Command::new("sipp")
            .arg("-sf")
            .arg(&scenario)
            .arg(answering.local_addr()?.to_string())
            .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-mp", &MEDIA_PORT.to_string()])
            .args(["-m", &calls.to_string(), "-l", &calls.to_string(), "-r", &RATE.to_string(), "-nostdin"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("sipp: {error}; it comes with make setup-test"))?;
        Ok(Sipp { process, answering, folder, known: Vec::new() })
    }

    /// The next who rings for the first time.
    pub(crate) fn next(&mut self) -> Result<Ringing, Box<dyn Error>> {
        let mut bytes = [0; 4_096];
        loop {
            let (length, from) = self
                .answering
                .recv_from(&mut bytes)
                .map_err(|error| format!("SIPp does not ring: {error}"))?;
            let invite = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let caller = header(&invite, "Call-ID").to_owned();
            if !invite.starts_with("INVITE ") || self.known.contains(&caller) {
                continue;
            }
            self.known.push(caller);
            let port = invite.lines().find_map(|line| line.strip_prefix("m=audio ")?.split(' ').next());
            let media = SocketAddr::new(from.ip(), port.ok_or("an INVITE without sound")?.parse()?);
            return Ok(Ringing { invite, from, media });
        }
    }

    /// The line's port is where they shall speak to.
    pub(crate) fn answer(&self, ringing: &Ringing, port: u16) -> Result<(), Box<dyn Error>> {
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        );
        let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            let tag = if name == "To" { ";tag=line" } else { "" };
            write!(answer, "{name}: {}{tag}\r\n", header(&ringing.invite, name))?;
        }
        write!(
            answer,
            "Contact: <sip:line@{}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            self.answering.local_addr()?,
            sdp.len()
        )?;
        self.answering.send_to(answer.as_bytes(), ringing.from)?;
        Ok(())
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let found = message.lines().find_map(|line| line.split_once(": ").filter(|(known, _)| *known == name));
    found.map_or("", |(_, value)| value.trim())
}
