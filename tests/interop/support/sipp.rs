//! A real load tool: SIPp, with its own default scenarios and its own captures, and its own count of what went well.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::place::{Folder, HERE, free_port, free_ports};
use super::process::Process;
use super::speech::Wav;

/// Where Debian puts the captures of RTP that SIPp comes with.
const CAPTURES: &str = "/usr/share/sip-tester";

/// SIPp's own caller with media (`sipp -sd uac_pcap`), but for what it plays.
const SOUNDS: &str = r#"<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="sounds">
  <send retrans="500"><![CDATA[
      INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag09[call_number]
      To: [service] <sip:[service]@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: sip:sipp@[local_ip]:[local_port]
      Max-Forwards: 70
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[local_ip_type] [local_ip]
      t=0 0
      m=audio [auto_media_port] RTP/AVP 8 101
      a=rtpmap:8 PCMA/8000
      a=rtpmap:101 telephone-event/8000
      a=fmtp:101 0-11,16
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rtd="true"/>
  <send><![CDATA[
      ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag09[call_number]
      To: [service] <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Contact: sip:sipp@[local_ip]:[local_port]
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  SOUNDS
  <send retrans="500"><![CDATA[
      BYE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag09[call_number]
      To: [service] <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Contact: sip:sipp@[local_ip]:[local_port]
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  <recv response="200"/>
</scenario>
"#;

pub(crate) struct Sipp {
    process: Process,
    folder: Folder,
    pub(crate) address: SocketAddr,
}

/// What SIPp itself counted.
#[derive(Debug)]
pub(crate) struct Score {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) retransmitted: u64,
    pub(crate) unexpected: u64,
}

impl Sipp {
    /// The default caller: INVITE, ACK, BYE, `calls` times at `rate` a second, at most `at_once` of them together.
    pub(crate) fn call(to: SocketAddr, number: &str, calls: u32, rate: u32, at_once: u32) -> Sipp {
        let (calls, rate, at_once) = (calls.to_string(), rate.to_string(), at_once.to_string());
        let to = to.to_string();
        Sipp::run(&["-sn", "uac", "-s", number, "-m", &calls, "-r", &rate, "-l", &at_once, &to])
    }

    /// One call, as a scenario of ours says (`tests/interop/sipp`).
    pub(crate) fn play(scenario: &str, to: SocketAddr, number: &str, more: &[&str]) -> Sipp {
        let file = format!("{}/tests/interop/sipp/{scenario}.xml", env!("CARGO_MANIFEST_DIR"));
        let to = to.to_string();
        Sipp::run(&[&["-sf", &file, "-s", number, "-m", "1"], more, &[to.as_str()]].concat())
    }

    /// The default answerer.
    pub(crate) fn answer() -> Sipp {
        Sipp::run(&["-sn", "uas"])
    }

    /// One call that is answered, plays SIPp's capture of a talk (7 s of A-law), then its captures of these keys, as RFC 4733 has them, one
    /// after the other, and hangs up.
    pub(crate) fn talk_and_press(to: SocketAddr, number: &str, keys: &str) -> Sipp {
        let play = |capture: &str, ms: u32| {
            let path = format!("{CAPTURES}/{capture}.pcap");
            assert!(Path::new(&path).exists(), "{path} is missing; it comes with sip-tester");
            format!(
                "<nop><action><exec play_pcap_audio=\"{path}\"/></action></nop><pause milliseconds=\"{ms}\"/>\n"
            )
        };
        let mut sounds = play("g711a", 7_500);
        for key in keys.chars() {
            let name = match key {
                '*' => "star".to_owned(),
                '#' => "pound".to_owned(),
                key => key.to_string(),
            };
            sounds += &play(&format!("dtmf_2833_{name}"), 500);
        }
        let folder = Folder::new("sipp");
        let scenario = folder.write("keys.xml", &SOUNDS.replace("SOUNDS", &sounds)).display().to_string();
        Sipp::run_in(folder, &["-sf", &scenario, "-s", number, "-m", "1", &to.to_string()])
    }

    /// One call that is answered, streams this from a file by SIPp's own clock, as A-law, and hangs up a second after its end.
    pub(crate) fn stream(to: SocketAddr, number: &str, said: &Wav) -> Sipp {
        let folder = Folder::new("sipp");
        let bytes: Vec<u8> = said.samples().iter().map(|&sample| media::g711::encode_alaw(sample)).collect();
        let ms = bytes.len() / 8 + 1_000;
        let path = folder.join("said.alaw");
        std::fs::write(&path, bytes).expect("there is room");
        let stream = format!(
            "<nop><action><exec rtp_stream=\"{},1,8,PCMA/8000\"/></action></nop><pause milliseconds=\"{ms}\"/>\n",
            path.display()
        );
        let scenario = SOUNDS.replace("SOUNDS", &stream).replace("auto_media_port", "rtpstream_audio_port");
        let scenario = folder.write("stream.xml", &scenario).display().to_string();
        Sipp::run_in(folder, &["-sf", &scenario, "-s", number, "-m", "1", &to.to_string()])
    }

    fn run(scenario: &[&str]) -> Sipp {
        Sipp::run_in(Folder::new("sipp"), scenario)
    }

    fn run_in(folder: Folder, scenario: &[&str]) -> Sipp {
        let address = free_port(HERE);
        // SIPp takes six ports from its media port on.
        let (media, _) = free_ports(8);
        let (ip, port, media) = (address.ip().to_string(), address.port().to_string(), media.to_string());
        let place = ["-i", &ip, "-p", &port, "-mi", &ip, "-mp", &media];
        let record = [
            "-nostdin",
            "-trace_err",
            "-error_file",
            "errors.log",
            "-trace_stat",
            "-stf",
            "score.csv",
            "-fd",
            "1",
        ];
        let arguments = [scenario, &place, &record].concat();
        let process = Process::spawn("sipp", "sipp", &arguments, |command| {
            command.current_dir(folder.path()).env("TERM", "dumb");
        });
        Sipp { process, folder, address }
    }

    /// Waits for its end. Panics with its errors if a call failed.
    pub(crate) fn finish(&self, within: Duration) -> Score {
        let status = self.process.wait(within);
        let score = self.score();
        assert!(
            status.success(),
            "sipp ended with {status}: {score:?}\nits errors:\n{}\n{}",
            self.errors(),
            self.process.tail()
        );
        score
    }

    pub(crate) fn errors(&self) -> String {
        let errors = std::fs::read_to_string(self.folder.join("errors.log")).unwrap_or_default();
        errors.lines().take(60).collect::<Vec<_>>().join("\n")
    }

    fn score(&self) -> Score {
        let table = std::fs::read_to_string(self.folder.join("score.csv"))
            .unwrap_or_else(|error| panic!("sipp wrote no score: {error}\n{}", self.process.tail()));
        let mut lines = table.lines();
        let names = lines.next().unwrap_or_default().split(';');
        let last = lines.next_back().unwrap_or_default().split(';');
        let row: HashMap<&str, &str> = names.zip(last).collect();
        let number = |name: &str| {
            row.get(name)
                .and_then(|value| value.parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {table}"))
        };
        Score {
            succeeded: number("SuccessfulCall(C)"),
            failed: number("FailedCall(C)"),
            retransmitted: number("Retransmissions(C)"),
            unexpected: number("FailedUnexpectedMessage(C)"),
        }
    }
}
