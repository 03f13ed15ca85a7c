//! Their end of the line: baresip, as Debian ships it, called by a few words of SIP and fed in real time with what is left of
//! the same packets.
//!
//! What it *plays* is taken, not what it decodes: its loudspeaker is joined to its microphone (`aubridge`), and what the microphone
//! gives is written down before it is encoded. So holes that its buffers leave are heard, too.

use std::cell::OnceCell;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::company::Call;
use crate::link::Arrival;
use crate::ours::Heard;

const PATIENCE: Duration = Duration::from_secs(20);
/// What is heard after the last packet.
const TAIL: Duration = Duration::from_secs(1);

/// A codec as the peers call it.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    /// The payload type.
    pub(crate) number: u8,
    /// What `a=rtpmap` says of it.
    pub(crate) name: &'static str,
    /// How `mediastream` wants it behind `--payload`.
    pub(crate) linphone: &'static [&'static str],
    /// What it is played at, in Hz.
    pub(crate) rate: u32,
}

/// One phone, and the folder that it lives in. It ends with the value.
pub(crate) struct Phone {
    process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Phone {
    /// Starts the phone number `seat`: each has an address and ports of its own.
    pub(crate) fn start(folder: &Path, seat: u8, format: &Format) -> Result<Phone, Box<dyn Error>> {
        let folder = folder.join(format!("phone-{seat}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let address = SocketAddr::from(([127, 0, 77, seat + 1], 5_060));
        std::fs::write(
            folder.join("accounts"),
            format!("<sip:ear@{address}>;regint=0;answermode=auto;audio_codecs={}\n", format.name),
        )?;
        std::fs::write(folder.join("config"), settings(address, &folder, 30_000 + 20 * u16::from(seat)))?;
        let mut process = Command::new("baresip")
            .args(["-4", "-f"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("baresip does not start: {error} (scripts/setup-test.sh installs it)")
            })?;
        let lines = BufReader::new(process.stdout.take().ok_or("no pipe")?).lines();
        let phone = Phone { process, folder, address };
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            // To the end, or the phone would stand still before a full pipe.
            for line in lines.map_while(Result::ok) {
                if line.contains("baresip is ready") {
                    let _ = ready.send(());
                }
            }
        });
        is_ready.recv_timeout(PATIENCE).map_err(|_| "baresip did not become ready")?;
        Ok(phone)
    }

    /// Calls it, sends it the packets when their time has come, `after` later, and gives what it played.
    pub(crate) fn listen(
        self,
        format: &Format,
        packets: &[Vec<u8>],
        journey: &[Arrival],
        after: Duration,
    ) -> Result<Call, Box<dyn Error>> {
        let sound = UdpSocket::bind(("127.0.0.1", 0))?;
        let call = Dialog::open(self.address, sound.local_addr()?, format)?;
        let way = Way::new(sound, call.media)?;
        way.wait_for_first(after)?;
        let (began, late) = way.send(packets, journey)?;
        call.close()?;
        Ok(Call { heard: way.heard(&recorded(&self.folder)?, began)?, late })
    }
}

/// The way of the packets to a peer in real time, and when its own began to come back.
pub(crate) struct Way {
    socket: UdpSocket,
    to: SocketAddr,
    first: mpsc::Receiver<Instant>,
    /// When its first packet came, once it has.
    begun: OnceCell<Instant>,
}

impl Way {
    pub(crate) fn new(socket: UdpSocket, to: SocketAddr) -> Result<Way, Box<dyn Error>> {
        let back = socket.try_clone()?;
        back.set_read_timeout(Some(PATIENCE))?;
        let (tell, first) = mpsc::channel();
        thread::spawn(move || {
            let mut tell = Some(tell);
            // What comes back is of no interest but for its beginning; it is taken, so that nothing is full.
            while back.recv_from(&mut [0; 2_048]).is_ok() {
                if let Some(tell) = tell.take() {
                    let _ = tell.send(Instant::now());
                }
            }
        });
        Ok(Way { socket, to, first, begun: OnceCell::new() })
    }

    /// Waits until the peer sends, and a little longer: its loudspeaker runs. And so much `after`.
    pub(crate) fn wait_for_first(&self, after: Duration) -> Result<(), Box<dyn Error>> {
        let first = self.first.recv_timeout(PATIENCE).map_err(|_| "the peer sends nothing")?;
        let _ = self.begun.set(first);
        thread::sleep(Duration::from_millis(500) + after);
        Ok(())
    }

    /// Sends each packet when it is to come, waits for the tail, and says when the first one left, and how late the hundredth of them that left latest did.
    pub(crate) fn send(
        &self,
        packets: &[Vec<u8>],
        journey: &[Arrival],
    ) -> Result<(Instant, Duration), Box<dyn Error>> {
        let began = Instant::now();
        let mut late = Vec::with_capacity(journey.len());
        for arrival in journey {
            thread::sleep((began + arrival.at).saturating_duration_since(Instant::now()));
            self.socket.send_to(&packets[arrival.sent], self.to)?;
            late.push((began + arrival.at).elapsed());
        }
        late.sort();
        let end = began + Duration::from_millis(20) * packets.len() as u32 + TAIL;
        thread::sleep(end.saturating_duration_since(Instant::now()));
        Ok((began, late.get(late.len() * 99 / 100).copied().unwrap_or_default()))
    }

    /// The peer's recording, from the first packet on. Its first packet held 20 ms that were over when it left.
    pub(crate) fn heard(&self, file: &Path, began: Instant) -> Result<Heard, Box<dyn Error>> {
        let deadline = Instant::now() + PATIENCE;
        let wav = loop {
            let wav = media::wav::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            // Until the peer has closed it, its head says that it is empty.
            if !wav.samples.is_empty() || Instant::now() > deadline {
                break wav;
            }
            thread::sleep(Duration::from_millis(100));
        };
        let first = *self.begun.get().ok_or("the peer was not waited for")?;
        let before = (began + Duration::from_millis(20)).saturating_duration_since(first);
        let skipped = (before.as_secs_f64() * f64::from(wav.rate)) as usize;
        let mono = wav.mono();
        Ok(Heard { rate: wav.rate, pcm: mono[skipped.min(mono.len())..].to_vec(), begins: Duration::ZERO })
    }
}

/// The WAV file of what its microphone gave. The phone closes it with the call.
fn recorded(folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let files = std::fs::read_dir(folder.join("heard"))?.flatten().map(|entry| entry.path());
    let mut ours = files.filter(|path| path.to_string_lossy().ends_with("-enc.wav"));
    ours.next().ok_or_else(|| "the phone recorded nothing".into())
}

/// Debian's settings in what matters to the sound: buffers of 5 to 10 frames and of 20 to 160 ms. Its module `plc.so` is left out: baresip 1.0
/// decodes the packet after a loss twice, so nothing is ever missing where the module looks, and it changes no sample.
/// What it sends nobody hears, so that may be cheap.
fn settings(address: SocketAddr, folder: &Path, first_port: u16) -> String {
    let heard = folder.join("heard");
    let _ = std::fs::create_dir_all(&heard);
    format!(
        "poll_method epoll
sip_listen {address}
net_interface {ip}
call_local_timeout 120
call_max_calls 4
audio_path /usr/share/baresip
audio_player aubridge,ear
audio_source aubridge,ear
audio_alert aubridge,alert
audio_level no
audio_buffer 20-160
jitter_buffer_delay 5-10
rtp_ports {first_port}-{last_port}
module_path /usr/lib/baresip/modules
module g711.so
module g722.so
module opus.so
opus_inbandfec yes
opus_complexity 0
module sndfile.so
snd_path {heard}
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
",
        ip = address.ip(),
        heard = heard.display(),
        last_port = first_port + 19,
    )
}

/// As much of SIP as one call needs.
struct Dialog {
    socket: UdpSocket,
    phone: SocketAddr,
    /// From, To and Call-ID, as the phone completed them.
    head: String,
    /// Where it wants its sound.
    media: SocketAddr,
}

impl Dialog {
    fn open(phone: SocketAddr, sound: SocketAddr, format: &Format) -> Result<Dialog, Box<dyn Error>> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let number = format.number;
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP {number}\r\n\
             a=rtpmap:{number} {}\r\na=sendrecv\r\n",
            sound.port(),
            format.name,
        );
        let call_id = format!("Call-ID: quality-{}\r\n", sound.port());
        let from = "From: <sip:bench@127.0.0.1>;tag=bench\r\n";
        let asked = format!("{from}To: <sip:ear@{phone}>\r\n{call_id}");
        let mut dialog = Dialog { socket, phone, head: asked, media: phone };
        dialog.send(
            "INVITE",
            1,
            &format!(
                "Contact: <sip:bench@{}>\r\nContent-Type: application/sdp\r\n",
                dialog.socket.local_addr()?
            ),
            &sdp,
        )?;
        let answer = dialog.answer()?;
        let line = |name: &str| answer.lines().find(|line| line.starts_with(name));
        let to = line("To:").ok_or("the phone's answer has no To")?;
        dialog.head = format!("{from}{to}\r\n{call_id}");
        let port =
            line("m=audio ").and_then(|media| media.split(' ').nth(1)).ok_or("the phone takes no sound")?;
        dialog.media.set_port(port.parse()?);
        dialog.send("ACK", 1, "", "")?;
        Ok(dialog)
    }

    fn close(&self) -> Result<(), Box<dyn Error>> {
        self.send("BYE", 2, "", "")?;
        self.answer().map(drop)
    }

    fn send(&self, method: &str, number: u32, more: &str, body: &str) -> Result<(), Box<dyn Error>> {
        let (phone, here) = (self.phone, self.socket.local_addr()?);
        let message = format!(
            "{method} sip:ear@{phone} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK-{}-{number}\r\n\
             Max-Forwards: 70\r\n{}CSeq: {number} {method}\r\n{more}Content-Length: {}\r\n\r\n{body}",
            here.port(),
            self.head,
            body.len(),
        );
        self.socket.send_to(message.as_bytes(), phone)?;
        Ok(())
    }

    /// Waits for the final answer, which must be a 200.
    fn answer(&self) -> Result<String, Box<dyn Error>> {
        let mut buffer = [0; 8_192];
        loop {
            let length = self
                .socket
                .recv(&mut buffer)
                .map_err(|error| format!("the phone does not answer: {error}"))?;
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.starts_with("SIP/2.0 200") {
                return Ok(message);
            }
            if !message.starts_with("SIP/2.0 1") {
                return Err(format!("the phone says {}", message.lines().next().unwrap_or_default()).into());
            }
        }
    }
}
