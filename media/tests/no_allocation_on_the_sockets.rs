//! With real sockets, too, nothing is allocated in steady state: not by the thread that takes packets, ticks and sends, nor by the one that writes
//! recordings. The owner here takes what it is told without allocating, so that whatever is counted was the engine's.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::Duration;

use media::net::{Engine, EngineConfig, Line};
use media::sdp::{Codec, Negotiated};
use media::wav::Recording;
use media::{Event, Mark, PlayChunk, SessionConfig};
use tokio::sync::mpsc::Receiver;

#[path = "support/counting.rs"]
mod counting;
#[path = "../../tests/support/ports.rs"]
mod ports;

use counting::ALLOCATIONS;
use ports::free_ports;

/// Frames of each line that pass before it counts, and that count.
const WARM: u32 = 150;
const COUNTED: u32 = 200;

struct Peer {
    line: Line,
    events: Receiver<Event>,
    socket: UdpSocket,
    packet: [u8; 172],
}

impl Peer {
    fn new(engine: &Engine, runtime: &tokio::runtime::Runtime, seed: u64, folder: &std::path::Path) -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        let config = SessionConfig { ssrc_seed: seed, ..SessionConfig::default() };
        let recording =
            seed.is_multiple_of(2).then(|| Recording { path: folder.join(format!("{seed}.wav")) });
        let (line, events) = engine.open(config, recording).expect("a line");
        let peer = socket.local_addr().expect("bound");
        runtime.block_on(line.configure(Negotiated::plain(Codec::Pcmu, peer))).expect("open");
        // Ten seconds of speech, which is as much as a line takes at once.
        let pcm: std::sync::Arc<[i16]> = (0..22_050 * 9).map(|n| ((n * 37 % 8_000) - 4_000) as i16).collect();
        runtime
            .block_on(line.play(PlayChunk { mark: Mark(1), rate: 22_050, pcm, last: false }))
            .expect("open");
        let mut packet = [0x90; 172];
        packet[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, seed as u8 + 1]);
        Peer { line, events, socket, packet }
    }

    /// A packet, now and then a report or something hostile; and whatever came is taken away.
    fn send(&mut self, number: u32) {
        let to = SocketAddr::from(([127, 0, 0, 1], self.line.local_port()));
        self.packet[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        self.packet[4..8].copy_from_slice(&(number * 160).to_be_bytes());
        self.packet[12..].fill(if (number / 25).is_multiple_of(3) {
            0xff
        } else {
            0x90 + (number % 7) as u8
        });
        if number % 40 != 7 {
            self.socket.send_to(&self.packet, to).expect("sent");
        }
        if number.is_multiple_of(30) {
            let control = SocketAddr::new(to.ip(), to.port() + 1);
            self.socket.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 9], control).expect("sent");
            self.socket.send_to(b"no RTP", to).expect("sent");
        }
        let mut buffer = [0; 256];
        while self.socket.recv_from(&mut buffer).is_ok() {}
    }

    fn take_a_frame(&mut self) {
        while !matches!(self.events.blocking_recv(), Some(Event::Frame { .. }) | None) {}
    }
}

#[test]
fn packets_ticks_frames_and_recordings_allocate_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let folder = std::env::temp_dir().join(format!("offhook-no-allocation-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let first = free_ports(Ipv4Addr::UNSPECIFIED.into(), 20);
    let config = EngineConfig { ports: first..=first + 19, ..EngineConfig::default() };
    let engine = Engine::start(config).expect("an engine");
    let mut peers: Vec<Peer> = (0..4).map(|seed| Peer::new(&engine, &runtime, seed, &folder)).collect();
    runtime.block_on(peers[0].line.bridge(&peers[1].line)).expect("open");
    let mut before = 0;
    for number in 0..WARM + COUNTED {
        if number == WARM {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        for peer in &mut peers {
            peer.send(number);
        }
        // The first frame comes with the first packet that was played: the clock of this test is the engine's.
        if number > 5 {
            peers.iter_mut().for_each(Peer::take_a_frame);
        }
    }
    let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
    for peer in peers {
        let stats = runtime.block_on(peer.line.close());
        assert!(stats.received > 200 && stats.sent > 200 && stats.malformed > 5, "{stats:?}");
    }
    assert!(engine.stats().ticks > 0 && engine.stats().skipped_ticks < 100, "{:?}", engine.stats());
    engine.shutdown();
    let _ = std::fs::remove_dir_all(folder);
    assert_eq!(allocated, 0, "in {} of sound", humantime(COUNTED));
}

fn humantime(frames: u32) -> String {
    format!("{:?}", Duration::from_millis(u64::from(frames) * 20))
}
