//! Many calls at once, in real time: each condition of the line to each peer.
//!
//! A phone alone costs one or two percent of a core, so a machine that does nothing else carries some dozens without hearing the difference. That it did is
//! measured: how late our own packets left. A call that was disturbed is held again, in smaller company.

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::PEERS;
use crate::link::Arrival;
use crate::linphone::Linphone;
use crate::ours::Heard;
use crate::phone::{Format, Phone};

/// How late one packet of a hundred may leave. A quarter of a packet: the buffers are whole packets long.
const LATE: Duration = Duration::from_millis(5);
/// How often a disturbed call is held again.
const AGAIN: usize = 2;

/// What a peer heard, and how late the hundredth of its packets that left latest did.
pub(crate) struct Call {
    pub(crate) heard: Heard,
    pub(crate) late: Duration,
}

enum Peer {
    Baresip(Phone),
    Linphone(Linphone),
}

/// One call to each peer for each journey, so many at once as may be. Gives what the peers heard of the first journey, of the second, …
pub(crate) fn hold(
    folder: &Path,
    company: usize,
    format: &Format,
    packets: &[Vec<u8>],
    journeys: &[Vec<Arrival>],
) -> Result<Vec<Call>, Box<dyn Error>> {
    let wanted: Vec<(&str, &[Arrival])> = journeys
        .iter()
        .flat_map(|journey| PEERS.iter().map(move |peer| (*peer, journey.as_slice())))
        .collect();
    let mut held: Vec<Option<Call>> = wanted.iter().map(|_| None).collect();
    for round in 0..=AGAIN {
        let missing: Vec<usize> = (0..wanted.len())
            .filter(|&index| held[index].as_ref().is_none_or(|call| call.late > LATE))
            .collect();
        if round > 0 && !missing.is_empty() {
            println!("disturbed, and held again: {} calls", missing.len());
        }
        for seated in missing.chunks((company >> round).max(1)) {
            let calls: Vec<_> = seated.iter().map(|&index| wanted[index]).collect();
            for (&index, call) in seated.iter().zip(at_once(folder, format, packets, &calls)?) {
                // The one that was disturbed less.
                if held[index].as_ref().is_none_or(|before| call.late < before.late) {
                    held[index] = Some(call);
                }
            }
        }
    }
    Ok(held.into_iter().flatten().collect())
}

/// A seat for each of `calls`, and all of them together.
fn at_once(
    folder: &Path,
    format: &Format,
    packets: &[Vec<u8>],
    calls: &[(&str, &[Arrival])],
) -> Result<Vec<Call>, Box<dyn Error>> {
    let mut phones = Vec::new();
    for (seat, (peer, _)) in calls.iter().enumerate() {
        phones.push(match *peer {
            "baresip" => Peer::Baresip(Phone::start(folder, seat as u8, format)?),
            _ => Peer::Linphone(Linphone::start(folder, seat as u8, format)?),
        });
    }
    // Their packets leave one after the other, not all at once every 20 ms.
    let step = Duration::from_millis(20) / calls.len() as u32;
    thread::scope(|scope| {
        let threads: Vec<_> = phones
            .into_iter()
            .zip(calls)
            .enumerate()
            .map(|(seat, (phone, (_, journey)))| {
                let after = step * seat as u32;
                scope.spawn(move || {
                    let call = match phone {
                        Peer::Baresip(phone) => phone.listen(format, packets, journey, after),
                        Peer::Linphone(phone) => phone.listen(packets, journey, after),
                    };
                    call.map_err(|error| error.to_string())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| Ok(thread.join().unwrap_or_else(|_| Err("it broke".into()))?))
            .collect()
    })
}
