//! The engine with real sockets on loopback and a real clock. Nothing here sleeps: it waits for what must come.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::Duration;

use media::net::{AttendError, Engine, EngineConfig, Line, OpenError, StartError};
use media::sdp::{self, Capabilities, Direction, LocalMedia};
use media::wav::Recording;
use media::{Event, Mark, SessionConfig, Tap};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use crate::ports::free_ports;
use crate::recordings_survive::Folder;
use crate::support::*;

const LONG: Duration = Duration::from_secs(30);

/// So many ports that nobody else has; the first is even.
pub fn ports(count: u16) -> RangeInclusive<u16> {
    let first = free_ports(Ipv4Addr::UNSPECIFIED.into(), count);
    first..=first + count - 1
}

pub fn engine() -> Engine {
    let config =
        EngineConfig { ports: ports(20), quarantine: Duration::from_millis(200), ..EngineConfig::default() };
    Engine::start(config).expect("an engine")
}

/// Two lines of one engine that call one another, with offer and answer.
pub async fn call(
    engine: &Engine,
    recording: Option<Recording>,
) -> ((Line, Receiver<Event>), (Line, Receiver<Event>)) {
    let config = |ssrc_seed| SessionConfig { ssrc_seed, ..SessionConfig::default() };
    let a = engine.open(config(1), recording).expect("a line");
    let b = engine.open(config(2), None).expect("a line");
    let here = |line: &Line| LocalMedia {
        ip: [127, 0, 0, 1].into(),
        port: line.local_port(),
        session_id: 1,
        version: 1,
    };
    let offer = sdp::offer(&Capabilities::default(), &here(&a.0), Direction::SendRecv);
    let (answer, for_b) = sdp::answer(&offer, &Capabilities::default(), &here(&b.0)).expect("agreement");
    let for_a = sdp::accept(&answer, &Capabilities::default()).expect("agreement");
    b.0.configure(for_b).await.expect("open");
    a.0.configure(for_a).await.expect("open");
    (a, b)
}

pub async fn until<T>(events: &mut Receiver<Event>, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    timeout(LONG, async {
        loop {
            let event = events.recv().await.expect("the line is open");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    })
    .await
    .expect("what must come in time")
}

#[tokio::test]
async fn speech_marks_digits_and_the_recording_go_through_real_sockets() {
    let folder = Folder::new("sockets");
    let path = folder.0.join("call.wav");
    let engine = engine();
    let ((a, mut from_a), (b, mut from_b)) = call(&engine, Some(Recording { path: path.clone() })).await;
    let said = voice(22_050, 1.0);
    for piece in said.chunks(5_000) {
        a.play(chunk(5, 22_050, piece.to_vec(), false)).await.expect("open");
    }
    a.play(chunk(5, 22_050, Vec::new(), true)).await.expect("open");
    let mut heard = Vec::new();
    let started = until(&mut from_b, |event| match event {
        Event::Frame { pcm, .. } => {
            heard.extend(*pcm);
            None
        }
        Event::VoiceStart { at } => Some(*at),
        _ => None,
    })
    .await;
    let played = until(&mut from_a, |event| match event {
        Event::Played { mark, duration, at } => Some((*mark, *duration, *at)),
        _ => None,
    })
    .await;
    assert_eq!((played.0, played.1), (Mark(5), Duration::from_secs(1)));
    assert!(started < played.2);
    b.send_digits("42#").await.expect("digits");
    let mut digits = String::new();
    while digits != "42#" {
        digits.push(
            until(&mut from_a, |event| match event {
                Event::Digit { digit, duration_ms: 160 } => Some(*digit),
                _ => None,
            })
            .await,
        );
    }
    let stats = b.close().await;
    assert!(stats.received > 50 && stats.lost == 0 && stats.strangers == 0, "{stats:?}");
    let stats = a.close().await;
    // A machine that stood still for more than 200 ms leaves a gap, and only then.
    let skipped = engine.stats().skipped_ticks;
    assert_eq!((stats.recording_gaps > 0, stats.recording_error), (skipped > 0, None));
    assert!(stats.recorded_blocks > 60);
    let wav = media::wav::read(&path).expect("a recording");
    assert_eq!((wav.rate, wav.channels), (8_000, 2));
    if skipped == 0 {
        assert_eq!(wav.samples.len(), stats.recorded_blocks as usize * 320);
        let ours = wav.channel(1);
        // The recording began a little before the speech.
        let first = ours.iter().position(|&sample| sample != 0).unwrap_or(0).saturating_sub(400);
        let (_, snr) = best_fit(&media::resample::convert(&said, 22_050, 8_000), &ours[first..]);
        assert!(snr > 37.0, "our side of the recording: {snr:.1} dB");
    }
    let rest = timeout(LONG, async { while from_a.recv().await.is_some() {} });
    rest.await.expect("the channel ends");
}

#[tokio::test]
async fn hush_overtakes_everything_that_is_queued() {
    let engine = engine();
    let ((a, mut from_a), _b) = call(&engine, None).await;
    // Much more than may be queued: the last of it waits in `play`.
    let (taken, mut queued) = tokio::sync::watch::channel(0);
    let play = async {
        for mark in 0..40 {
            a.play(chunk(mark, 8_000, vec![5_000; 72_000], true)).await.expect("open");
            taken.send_replace(mark + 1);
        }
    };
    let barge_in = async {
        until(&mut from_a, |event| matches!(event, Event::Started { .. }).then_some(())).await;
        queued.wait_for(|taken| *taken >= 5).await.expect("the other half lives");
        let hushed = timeout(LONG, a.hush()).await.expect("at once").expect("open");
        assert_eq!(hushed.mark, Some(Mark(0)));
        assert!(hushed.played < Duration::from_secs(9), "{hushed:?}");
        assert!(hushed.unplayed_marks.len() >= 4, "{hushed:?}");
    };
    tokio::select! {
        () = play => panic!("six minutes of sound were taken at once: no back-pressure"),
        () = barge_in => {}
    }
    // What is given after the hush is played.
    a.hush().await.expect("open");
    a.play(chunk(99, 8_000, vec![5_000; 800], true)).await.expect("open");
    until(&mut from_a, |event| matches!(event, Event::Played { mark: Mark(99), .. }).then_some(())).await;
}

#[tokio::test]
async fn pause_holds_and_resume_goes_on() {
    let engine = engine();
    let ((a, mut from_a), (_b, mut from_b)) = call(&engine, None).await;
    a.pause();
    a.play(chunk(1, 8_000, vec![5_000; 1_600], true)).await.expect("open");
    for _ in 0..10 {
        until(&mut from_b, |event| event.is_frame().then_some(())).await;
    }
    assert!(
        from_a.try_recv().is_ok_and(|event| !matches!(event, Event::Started { .. })) || from_a.is_empty()
    );
    a.resume();
    until(&mut from_a, |event| matches!(event, Event::Played { mark: Mark(1), .. }).then_some(())).await;
}

#[tokio::test]
async fn ports_run_out_with_a_name_and_come_back_after_use() {
    let ports = ports(4);
    let config = EngineConfig {
        ports: ports.clone(),
        quarantine: Duration::from_millis(100),
        ..EngineConfig::default()
    };
    let engine = Engine::start(config).expect("an engine");
    let first = engine.open(SessionConfig::default(), None).expect("a line");
    let _second = engine.open(SessionConfig::default(), None).expect("a line");
    assert_eq!((first.0.local_port(), first.0.local_port() % 2), (*ports.start(), 0));
    let error = engine.open(SessionConfig::default(), None).map(|_| ()).expect_err("no port is left");
    assert!(matches!(error, OpenError::NoPorts { in_use: 2, resting: 0 }), "{error}");
    // Dropped, not closed: that is enough.
    drop(first);
    let reopened = timeout(LONG, async {
        loop {
            match engine.open(SessionConfig::default(), None) {
                Ok(line) => return line,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(reopened.await.expect("the port comes back").0.local_port(), *ports.start());
    assert!(matches!(
        Engine::start(EngineConfig { ports: *ports.end()..=*ports.end(), ..EngineConfig::default() }),
        Err(StartError::NoPairs(..))
    ));
}

#[tokio::test]
async fn a_slow_owner_loses_frames_but_no_digit() {
    let engine = engine();
    let (_a, (b, mut from_b)) = call(&engine, None).await;
    let (a, _from_a) = _a;
    // B's owner does not listen while 3 s of frames and ten digits come.
    a.send_digits("0123456789").await.expect("digits");
    timeout(LONG, async {
        while b.stats().await.expect("open").digits_received < 10 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("all digits came");
    let stats = b.stats().await.expect("open");
    assert!(stats.frames_dropped > 0 && stats.events_lost == 0, "{stats:?}");
    let mut digits = String::new();
    while digits.len() < 10 {
        let next = until(&mut from_b, |event| match event {
            Event::Digit { digit, .. } => Some(*digit),
            _ => None,
        });
        digits.push(next.await);
    }
    assert_eq!(digits, "0123456789");
}

#[tokio::test]
async fn shutdown_ends_all_lines_and_finishes_recordings() {
    let folder = Folder::new("shutdown");
    let path = folder.0.join("call.wav");
    let engine = engine();
    let ((a, mut from_a), _b) = call(&engine, Some(Recording { path: path.clone() })).await;
    for _ in 0..5 {
        until(&mut from_a, |event| event.is_frame().then_some(())).await;
    }
    engine.shutdown();
    let rest = timeout(LONG, async { while from_a.recv().await.is_some() {} });
    rest.await.expect("the channel ends");
    assert!(media::wav::read(&path).expect("a recording").samples.len() >= 5 * 320);
    assert!(a.hush().await.is_err());
    assert!(matches!(engine.open(SessionConfig::default(), None), Err(OpenError::Closed)));
    assert_eq!(engine.stats().sessions, 0);
}

#[tokio::test]
async fn a_recording_that_cannot_be_begun_or_continued_is_reported() {
    let engine = engine();
    let nowhere = Recording { path: "/nonexistent/call.wav".into() };
    let error = engine.open(SessionConfig::default(), Some(nowhere)).map(|_| ()).expect_err("no such folder");
    assert!(matches!(error, OpenError::Recording(..)));
    // The port is not lost.
    assert_eq!(engine.stats().ports_free + engine.stats().ports_resting, 10);
}

#[tokio::test]
async fn strangers_on_the_wire_are_counted() {
    let engine = engine();
    let ((a, mut from_a), _b) = call(&engine, None).await;
    until(&mut from_a, |event| event.is_frame().then_some(())).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let to = SocketAddr::from(([127, 0, 0, 1], a.local_port()));
    let mut packet = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9];
    packet.extend([0; 160]);
    for _ in 0..5 {
        stranger.send_to(&packet, to).expect("sent");
        stranger.send_to(b"hello", to).expect("sent");
    }
    timeout(LONG, async {
        loop {
            let stats = a.stats().await.expect("open");
            if (stats.strangers, stats.malformed) == (5, 5) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("counted");
}

#[tokio::test]
async fn two_calls_are_bridged_across_threads_and_a_closed_line_frees_the_other() {
    let config = EngineConfig { ports: ports(40), threads: 2, ..EngineConfig::default() };
    let engine = Engine::start(config).expect("an engine");
    // Each pair of lines is a call between a peer and us.
    let ((peer_a, mut from_peer_a), (a, _from_a)) = call(&engine, None).await;
    let ((b, mut from_b), (peer_b, mut from_peer_b)) = call(&engine, None).await;
    // Lines are dealt out in turn, so the second of one call and the first of the other sit on different threads.
    a.bridge(&b).await.expect("open");
    peer_a.play(chunk(1, 8_000, tone(8_000, 500.0, 8.0), true)).await.expect("open");
    until(&mut from_peer_b, |event| match event {
        Event::Frame { level_dbfs, .. } => (*level_dbfs > -20.0).then_some(()),
        _ => None,
    })
    .await;
    peer_b.send_digits("7").await.expect("digits");
    until(&mut from_peer_a, |event| matches!(event, Event::Digit { digit: '7', .. }).then_some(())).await;
    let stats = b.stats().await.expect("open");
    assert!(stats.bridge_sent > 0 && stats.bridge_passed > 0, "{stats:?}");
    // A third takes the place of B: B is told, and A is not.
    let ((_peer_c, _from_peer_c), (c, mut from_c)) = call(&engine, None).await;
    a.bridge(&c).await.expect("open");
    until(&mut from_b, |event| matches!(event, Event::Unbridged).then_some(())).await;
    a.close().await;
    until(&mut from_c, |event| matches!(event, Event::Unbridged).then_some(())).await;
    assert!(c.stats().await.is_ok());
}

#[tokio::test]
async fn who_would_make_the_others_late_is_refused_and_they_go_on() {
    // As good as no time at all: a handful of lines is thought to take more, before anybody has measured them.
    let config = EngineConfig { ports: ports(40), max_load: 1, ..EngineConfig::default() };
    let engine = Engine::start(config).expect("an engine");
    let first = engine.open(SessionConfig::default(), None).expect("nothing is being done yet");
    let mut others = Vec::new();
    let refused = loop {
        match engine.open(SessionConfig::default(), None) {
            Ok(line) => others.push(line),
            Err(OpenError::NoPorts { .. }) => {}
            Err(error) => break error,
        }
        let before = first.0.stats().await.expect("open").ticks;
        while first.0.stats().await.expect("open").ticks < before + 5 {
            tokio::task::yield_now().await;
        }
    };
    assert!(matches!(refused, OpenError::Overloaded(percent) if percent > 0), "{refused}");
    let before = first.0.stats().await.expect("open").ticks;
    while first.0.stats().await.expect("open").ticks < before + 5 {
        tokio::task::yield_now().await;
    }
    let stats = engine.stats();
    assert!(stats.overloaded == 1 && stats.sessions == others.len() + 1, "{stats:?}");
}

#[tokio::test]
async fn who_attends_hears_until_it_is_told_to_leave() {
    let config = EngineConfig { ports: ports(40), threads: 2, ..EngineConfig::default() };
    let engine = Engine::start(config).expect("an engine");
    let ((peer_a, mut from_peer_a), (a, _from_a)) = call(&engine, None).await;
    let ((c, _from_c), (peer_c, mut from_peer_c)) = call(&engine, None).await;
    let loud = |event: &Event| match event {
        Event::Frame { level_dbfs, .. } => (*level_dbfs > -20.0).then_some(()),
        _ => None,
    };
    let quiet = |event: &Event| match event {
        Event::Frame { level_dbfs, .. } => (*level_dbfs < -60.0).then_some(()),
        _ => None,
    };
    let attendance = c.attend(&a, Tap::Nothing, Tap::Both).await.expect("room");
    peer_a.play(chunk(1, 8_000, tone(8_000, 500.0, 30.0), true)).await.expect("open");
    until(&mut from_peer_c, loud).await;
    // What is said to A is heard as well.
    peer_a.hush().await.expect("open");
    until(&mut from_peer_c, quiet).await;
    a.play(chunk(2, 8_000, tone(8_000, 700.0, 2.0), true)).await.expect("open");
    until(&mut from_peer_c, loud).await;
    a.hush().await.expect("open");
    // Then C speaks to A, who did not hear it before.
    peer_c.play(chunk(3, 8_000, tone(8_000, 900.0, 30.0), true)).await.expect("open");
    until(&mut from_peer_a, quiet).await;
    attendance.set(Tap::Voice, Tap::Both);
    until(&mut from_peer_a, loud).await;
    drop(attendance);
    until(&mut from_peer_a, quiet).await;
    // Three have room, and a fourth has again when one of them goes.
    let mut attending = Vec::new();
    for _ in 0..3 {
        attending.push(c.attend(&a, Tap::Nothing, Tap::Nothing).await.expect("room"));
    }
    let full = c.attend(&a, Tap::Nothing, Tap::Nothing).await;
    assert_eq!(full.err(), Some(AttendError::NoRoom));
    attending.pop();
    pass(&a).await;
    pass(&c).await;
    attending.push(c.attend(&a, Tap::Nothing, Tap::Nothing).await.expect("room again"));
    a.close().await;
    pass(&c).await;
    let (other, _events) = engine.open(SessionConfig::default(), None).expect("a line");
    other.attend(&c, Tap::Voice, Tap::Nothing).await.expect("c has lost whom it attended");
}

/// Two ticks of a line.
async fn pass(line: &Line) {
    let ticks = line.stats().await.expect("open").ticks;
    while line.stats().await.expect("open").ticks < ticks + 2 {
        tokio::task::yield_now().await;
    }
}
