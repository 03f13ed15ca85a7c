//! Symmetric RTP: packets go where packets come from, and nobody else gets in.

use media::Event;

use crate::support::*;

fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((u32::from(sequence) * 160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([0xff; 160]);
    bytes
}

fn latched(party: &Party) -> Vec<std::net::SocketAddr> {
    party
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Latched { remote } => Some(*remote),
            _ => None,
        })
        .collect()
}

#[test]
fn a_peer_that_announced_another_address_is_found_and_then_kept() {
    let began = start();
    let mut party = Party::new(began, 1);
    let (announced, real, stranger) = (address(3, 6_000), address(1, 6_000), address(66, 6_000));
    party.session.configure(began, &agreed(announced));
    for sequence in 0..20u16 {
        let now = began + TICK * u32::from(sequence);
        // The stranger is quicker than the peer, but sends no stream.
        party.session.handle_packet(now, stranger, &packet(666, 1_000 + 77 * sequence));
        party.session.handle_packet(now, real, &packet(7, sequence));
        party.tick(now);
        let to = party.sent.pop().expect("a packet per tick").0;
        assert_eq!(to, if sequence < 2 { announced } else { real }, "tick {sequence}");
    }
    assert_eq!(latched(&party), [real]);
    let stats = party.session.stats();
    assert_eq!((stats.strangers, stats.lost), (17, 0));
    // A stranger with a whole stream, even with the peer's own SSRC, is still a stranger.
    for sequence in 20..60u16 {
        party.session.handle_packet(began + TICK * u32::from(sequence), stranger, &packet(7, sequence));
    }
    let stats = party.session.stats();
    assert_eq!((stats.strangers, stats.hijacks), (17 + 40, 1), "one attempt, of forty packets");
    assert_eq!(latched(&party), [real]);
}

#[test]
fn the_announced_source_needs_no_probation() {
    let began = start();
    let mut party = Party::new(began, 1);
    party.session.configure(began, &agreed(address(3, 6_000)));
    party.session.handle_packet(began, address(66, 1), &packet(666, 5));
    party.session.handle_packet(began, address(66, 1), &packet(666, 6));
    party.session.handle_packet(began, address(3, 6_000), &packet(1, 1));
    party.session.handle_packet(began, address(66, 1), &packet(666, 7));
    party.listen();
    assert_eq!(latched(&party), [address(3, 6_000)]);
    assert_eq!(party.session.stats().strangers, 1);
}

#[test]
fn a_new_description_opens_the_latch() {
    let began = start();
    let mut party = Party::new(began, 1);
    let (announced, real, moved) = (address(3, 6_000), address(1, 6_000), address(4, 7_000));
    party.session.configure(began, &agreed(announced));
    (0..5).for_each(|sequence| party.session.handle_packet(began, real, &packet(7, sequence)));
    // Said again without a change: we keep sending to the real source, which is taken back with one packet.
    party.session.configure(began, &agreed(announced));
    party.tick(began);
    assert_eq!(party.sent.pop().expect("sent").0, real);
    party.session.handle_packet(began, real, &packet(7, 5));
    // Moved: the new address counts at once, the old one no more.
    party.session.configure(began, &agreed(moved));
    party.tick(began + TICK);
    assert_eq!(party.sent.pop().expect("sent").0, moved);
    party.session.handle_packet(began, moved, &packet(8, 100));
    party.session.handle_packet(began, real, &packet(7, 6));
    party.listen();
    assert_eq!(latched(&party), [real, real, moved]);
    assert_eq!(party.session.stats().strangers, 1);
    // Hold by 0.0.0.0 says nothing about where the peer is.
    let zero = std::net::SocketAddr::from(([0, 0, 0, 0], 7_000));
    party.session.configure(began, &agreed(zero));
    party.tick(began + TICK * 2);
    assert_eq!(party.sent.pop().expect("sent").0, moved);
}

#[test]
fn before_anything_is_agreed_nobody_is_heard() {
    let began = start();
    let mut party = Party::new(began, 1);
    party.session.handle_packet(began, address(1, 1), &packet(1, 1));
    party.tick(began);
    assert_eq!(party.session.stats().strangers, 1);
    assert!(party.events.is_empty() && party.sent.is_empty());
}

#[test]
fn a_peer_with_our_ssrc_makes_us_change_ours() {
    let began = start();
    let mut party = Party::new(began, 1);
    let peer = address(2, 5_000);
    party.session.configure(began, &agreed(peer));
    party.tick(began);
    let ours = party.sent.pop().expect("sent").1;
    let ssrc = u32::from_be_bytes(ours[8..12].try_into().expect("four"));
    party.session.handle_packet(began, peer, &packet(ssrc, 1));
    party.tick(began + TICK);
    assert_ne!(party.sent.pop().expect("sent").1[8..12], ours[8..12]);
}
