//! A call of two with a third who listens, whispers to one of them, or speaks with both; on one virtual clock. Each says a tone of its own.

use std::time::{Duration, Instant};

use media::Tap;
use media::sdp::Codec;

use crate::support::*;

const NEAR: usize = 0;
const FAR: usize = 1;
const THIRD: usize = 2;
const HERTZ: [f64; 3] = [500.0, 700.0, 1_100.0];
const US: u8 = 9;

/// Which leg of which of our sessions leads to which of another, and what it gives.
struct Joint {
    from: (usize, usize),
    to: (usize, usize),
    tap: Tap,
}

struct Call {
    began: Instant,
    ticks: u32,
    /// The peers, and our sessions towards them.
    peers: Vec<Party>,
    ours: Vec<Party>,
    joints: Vec<Joint>,
}

impl Call {
    fn new(codecs: [Codec; 3]) -> Self {
        let began = start();
        let party = |seed: usize| Party::new(began, seed as u64);
        let mut call = Call {
            began,
            ticks: 0,
            peers: (0..3).map(party).collect(),
            ours: (3..6).map(party).collect(),
            joints: Vec::new(),
        };
        for (n, codec) in codecs.into_iter().enumerate() {
            let (here, there) = (address(US, 6_000 + 10 * n as u16), address(n as u8 + 1, 4_000));
            for (party, remote) in [(&mut call.peers[n], here), (&mut call.ours[n], there)] {
                let mut agreed = agreed(remote);
                agreed.codec = codec;
                agreed.payload_type = codec.payload_type();
                party.session.configure(began, &agreed);
            }
        }
        call.join((NEAR, 0), (FAR, 0), Tap::Voice, Tap::Voice);
        call
    }

    fn join(&mut self, one: (usize, usize), other: (usize, usize), gives: Tap, takes: Tap) {
        for (from, to, tap) in [(one, other, gives), (other, one, takes)] {
            self.ours[from.0].session.join(from.1, Some(tap));
            self.joints.push(Joint { from, to, tap });
        }
    }

    /// The third has the near side by its leg 1, and the far one by its leg 2.
    fn attend(&mut self, to_near: Tap, to_far: Tap) {
        if self.joints.len() == 2 {
            self.join((THIRD, 1), (NEAR, 1), to_near, Tap::Both);
            self.join((THIRD, 2), (FAR, 1), to_far, Tap::Nothing);
            return;
        }
        for (leg, tap) in [(1, to_near), (2, to_far)] {
            self.ours[THIRD].session.tap(leg, tap);
            self.joints
                .iter_mut()
                .filter(|joint| joint.from == (THIRD, leg))
                .for_each(|joint| joint.tap = tap);
        }
    }

    fn say(&mut self, who: usize, pcm: Vec<i16>) {
        self.peers[who].session.play(chunk(1, 8_000, pcm, false)).expect("room");
    }

    fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            let now = self.began + TICK * self.ticks;
            let at = now + Duration::from_millis(10);
            for n in 0..self.peers.len() {
                self.peers[n].tick(now);
                for (_, bytes) in self.peers[n].sent.split_off(0) {
                    self.ours[n].session.handle_packet(now, address(n as u8 + 1, 4_000), &bytes);
                }
            }
            for n in 0..self.ours.len() {
                self.ours[n].tick(at);
                for Joint { from, to, tap } in self.joints.iter().filter(|joint| joint.from.0 == n) {
                    let passed = self.ours[n].session.poll_passed_by(from.1);
                    assert!(*tap != Tap::Nothing || passed.is_none());
                    if let Some(passed) = passed {
                        self.ours[to.0].session.feed_by(to.1, passed);
                    }
                }
                for (_, bytes) in self.ours[n].sent.split_off(0) {
                    let from = address(US, 6_000 + 10 * n as u16);
                    self.peers[n].session.handle_packet(at, from, &bytes);
                }
            }
            self.ticks += 1;
        }
    }

    /// Whose voices a peer has heard in the last second.
    fn heard(&self, who: usize) -> [bool; 3] {
        let heard = &self.peers[who].heard;
        let last = &heard[heard.len() - 8_000..];
        HERTZ.map(|hertz| loudness(last, hertz) > 2_000.0)
    }
}

/// Of a tone within a sound, as the height of its wave.
fn loudness(pcm: &[i16], hertz: f64) -> f64 {
    let step = std::f64::consts::TAU * hertz / 8_000.0;
    let (sine, cosine) = pcm.iter().enumerate().fold((0.0, 0.0), |(sine, cosine), (n, &sample)| {
        let (angle, sample) = (step * n as f64, f64::from(sample));
        (sine + sample * angle.sin(), cosine + sample * angle.cos())
    });
    2.0 * (sine * sine + cosine * cosine).sqrt() / pcm.len() as f64
}

#[test]
fn who_listens_hears_both_and_is_heard_by_whom_it_may() {
    let mut call = Call::new([Codec::Pcmu, Codec::Pcma, Codec::Pcmu]);
    call.run(25);
    for who in [NEAR, FAR, THIRD] {
        call.say(who, tone(8_000, HERTZ[who], 30.0));
    }
    call.run(75);
    let apart = [[false, true, false], [true, false, false], [false; 3]];
    assert_eq!([NEAR, FAR, THIRD].map(|who| call.heard(who)), apart, "two talk");
    for (to_near, to_far, near, far) in [
        (Tap::Nothing, Tap::Nothing, false, false),
        (Tap::Nothing, Tap::Voice, false, true),
        (Tap::Voice, Tap::Voice, true, true),
        (Tap::Nothing, Tap::Nothing, false, false),
    ] {
        call.attend(to_near, to_far);
        call.run(100);
        let wanted = [[false, true, near], [true, false, far], [true, true, false]];
        assert_eq!([NEAR, FAR, THIRD].map(|who| call.heard(who)), wanted, "{to_near:?} {to_far:?}");
    }
    let recorded = &call.ours[NEAR].said[8_000..];
    assert!(loudness(&recorded[60_000..64_000], HERTZ[FAR]) > 2_000.0);
    assert!(call.ours.iter().all(|ours| ours.session.stats().bridge_dropped <= 1));
}

#[test]
fn what_the_agent_says_is_heard_by_who_listens() {
    let mut call = Call::new([Codec::Pcmu; 3]);
    // There is no far side: the agent's words are played to the near one.
    for joint in call.joints.split_off(0) {
        call.ours[joint.from.0].session.join(joint.from.1, None);
    }
    call.join((THIRD, 1), (NEAR, 1), Tap::Nothing, Tap::Both);
    call.run(25);
    let said = voice(8_000, 3.0);
    call.ours[NEAR].session.play(chunk(1, 8_000, said.clone(), true)).expect("room");
    call.run(200);
    let (shift, snr) = best_fit(&said, &call.peers[THIRD].heard[2_400..]);
    assert!(snr >= 37.0 && shift < 2_400, "{snr:.1} dB at {shift}");
    // And with it what the near side says.
    call.ours[NEAR].session.play(chunk(2, 8_000, tone(8_000, HERTZ[FAR], 4.0), true)).expect("room");
    call.say(NEAR, tone(8_000, HERTZ[NEAR], 4.0));
    call.run(100);
    assert_eq!(call.heard(THIRD), [true, true, false]);
    assert_eq!(call.heard(NEAR), [false, true, false]);
}

#[test]
fn all_who_shout_at_once_are_turned_down_and_not_clipped() {
    let mut call = Call::new([Codec::Pcmu; 3]);
    call.attend(Tap::Voice, Tap::Voice);
    call.run(25);
    let loud = |hertz: f64| tone(8_000, hertz, 10.0).iter().map(|sample| sample * 3).collect::<Vec<_>>();
    for who in [NEAR, FAR, THIRD] {
        call.say(who, loud(HERTZ[who]));
    }
    call.run(200);
    let heard = &call.peers[NEAR].heard;
    let last = &heard[heard.len() - 8_000..];
    let (far, third) = (loudness(last, HERTZ[FAR]), loudness(last, HERTZ[THIRD]));
    assert!(far > 12_000.0 && (0.8..1.25).contains(&(far / third)), "{far} {third}");
    // Clipping would put the third harmonic and the sums there.
    for hertz in [2_100.0, 300.0, 1_500.0, 2_500.0, 2_900.0] {
        let other = loudness(last, hertz);
        assert!(other < 400.0, "{hertz} Hz: {other:.0}");
    }
}

#[test]
fn a_key_of_who_attends_counts_on_its_own_line_and_goes_nowhere() {
    let mut call = Call::new([Codec::Pcmu; 3]);
    call.attend(Tap::Voice, Tap::Voice);
    call.run(25);
    // One by INFO alone; one that the phone tells by INFO and in its RTP.
    let now = call.began + TICK * call.ticks;
    for digit in ['7', '5'] {
        call.ours[THIRD].session.key_by_info(now, digit, Duration::from_millis(160));
    }
    call.peers[THIRD].session.send_digits("5").expect("digits");
    call.run(75);
    let counted =
        call.ours.iter().map(|ours| ours.session.stats()).map(|s| (s.digits_received, s.digits_again));
    assert_eq!(counted.collect::<Vec<_>>(), [(0, 0), (0, 0), (2, 1)]);
    assert_eq!(call.ours[THIRD].digits(), "75");
    assert!(call.peers.iter().all(|peer| peer.digits().is_empty()));
}
