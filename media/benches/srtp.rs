//! What encryption costs: microseconds per packet, sealed by one session and opened by another, and for one that is forged.
//! `cargo bench -p media --bench srtp`.

#![allow(clippy::disallowed_methods)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::sdp::{Codec, Negotiated};
use media::srtp::{Keys, MasterKey, Suite};
use media::{Channel, MediaSession, SessionConfig};

const PACKETS: u32 = 100_000;
/// Each part is timed in so many pieces, and the median counts.
const PIECES: usize = 20;

struct Figures {
    seal: f64,
    open: f64,
    refuse: f64,
}

fn session(now: Instant, seed: u64, remote: SocketAddr, keys: Option<Keys>) -> MediaSession {
    let mut session = MediaSession::new(SessionConfig { ssrc_seed: seed, ..SessionConfig::default() }, now);
    session.configure(now, &Negotiated { srtp: keys, ..Negotiated::plain(Codec::Pcmu, remote) });
    session
}

/// Microseconds per packet of 20 ms.
fn measure(suite: Option<Suite>) -> Figures {
    let began = Instant::now();
    let keys = |ours: u8, theirs: u8| {
        suite.map(|suite| {
            let key = |fill| {
                MasterKey::new(suite, &vec![fill; suite.key_length() + suite.salt_length()])
                    .expect("its length")
            };
            Keys { suite, tag: 1, ours: key(ours), theirs: key(theirs) }
        })
    };
    let addresses: [SocketAddr; 2] =
        ["192.0.2.1:4000", "192.0.2.2:5000"].map(|address| address.parse().expect("an address"));
    let mut speaker = session(began, 1, addresses[1], keys(1, 2));
    let mut listener = session(began, 2, addresses[0], keys(2, 1));
    let mut pieces: [Vec<f64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    let piece = PACKETS as usize / PIECES;
    let mut tick = 0u32;
    for _ in 0..PIECES {
        let mut packets = Vec::with_capacity(piece);
        let mut seal = Duration::ZERO;
        while packets.len() < piece {
            speaker.tick(began + Duration::from_millis(20) * tick);
            tick += 1;
            let at = Instant::now();
            while let Some(packet) = speaker.poll_transmit() {
                if packet.channel == Channel::Rtp {
                    packets.push(black_box(packet.bytes).to_vec());
                }
            }
            seal += at.elapsed();
        }
        let mut forged = packets.clone();
        forged.iter_mut().for_each(|packet| packet[20] ^= 1);
        // Nothing but the way in: no tick takes the packets out again, so the jitter buffer drops the oldest.
        let time = |listener: &mut MediaSession, packets: &[Vec<u8>]| {
            let at = Instant::now();
            packets.iter().for_each(|packet| listener.handle_packet(began, addresses[0], packet));
            at.elapsed().as_secs_f64() * 1e6 / packets.len() as f64
        };
        if suite.is_some() {
            pieces[2].push(time(&mut listener, &forged));
        }
        pieces[1].push(time(&mut listener, &packets));
        pieces[0].push(seal.as_secs_f64() * 1e6 / piece as f64);
        while listener.poll_event().is_some() || speaker.poll_event().is_some() {}
    }
    let [seal, open, refuse] = pieces.map(|mut piece| {
        piece.sort_by(f64::total_cmp);
        piece.get(piece.len() / 2).copied().unwrap_or_default()
    });
    Figures { seal, open, refuse }
}

fn main() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{PACKETS} packets of 160 bytes (PCMU, 20 ms) per suite, median of {PIECES} pieces, {cores} cores"
    );
    let plain = measure(None);
    println!(
        "{:<26} {:>9} {:>9} {:>9} {:>22}",
        "", "seal µs", "open µs", "forged µs", "% of a core per call"
    );
    let mut json = Vec::new();
    for suite in Suite::ALL {
        let figures = measure(Some(suite));
        let (seal, open) = (figures.seal - plain.seal, figures.open - plain.open);
        // Fifty packets each way in a second.
        let core = (seal + open) * 50.0 / 1e6 * 100.0;
        println!("{:<26} {seal:>9.2} {open:>9.2} {:>9.2} {core:>22.4}", suite.name(), figures.refuse);
        json.push(format!(
            "\"{}\":{{\"seal_us\":{seal:.2},\"open_us\":{open:.2},\"forged_us\":{:.2},\"core_pct_per_call\":{core:.4}}}",
            suite.name(),
            figures.refuse
        ));
    }
    println!("{{\"bench\":\"srtp\",\"packets\":{PACKETS},{}}}", json.join(","));
}
