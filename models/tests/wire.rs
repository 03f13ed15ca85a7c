//! The protocol: whatever is written can be read, and whatever is read is a frame or an error.

use std::io::Cursor;

use models::wire::{
    self, Decoder, Failure, Frame, Generate, Generated, Hello, JobId, Judge, MAX_FRAME, Message, Outcome,
    Span, Synthesize, Synthesized, Task, Transcribe, Transcribed, WireError,
};
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn task() -> impl Strategy<Value = Task> {
    prop_oneof![
        (proptest::option::of(text()), proptest::option::of(text()), any::<u32>()).prop_map(
            |(language, prompt, threads)| Task::Transcribe(Transcribe { language, prompt, threads })
        ),
        (proptest::collection::vec((text(), text()), 0..4), any::<u32>(), any::<u64>()).prop_map(
            |(m, max_tokens, session)| {
                let messages = m.into_iter().map(|(role, content)| Message { role, content }).collect();
                Task::Generate(Generate { messages, max_tokens, session, ..Generate::default() })
            }
        ),
        (text(), proptest::option::of(text())).prop_map(|(text, voice)| Task::Synthesize(Synthesize {
            text,
            voice,
            speed: 1.0,
            threads: 1
        })),
        any::<u32>().prop_map(|threads| Task::Judge(Judge { threads })),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let job = any::<u32>().prop_map(JobId);
    let pcm = proptest::collection::vec(any::<i16>(), 0..200);
    prop_oneof![
        (text(), any::<u32>()).prop_map(|(name, lanes)| Frame::Hello(Hello {
            name,
            lanes,
            ..Hello::default()
        })),
        (job.clone(), task(), pcm.clone()).prop_map(|(job, task, pcm)| Frame::Job { job, task, pcm }),
        job.clone().prop_map(Frame::Cancel),
        (job.clone(), any::<u32>()).prop_map(|(job, ms)| Frame::Rest { job, ms }),
        any::<u32>().prop_map(Frame::Ping),
        any::<u32>().prop_map(Frame::Pong),
        (job.clone(), text()).prop_map(|(job, text)| Frame::Text { job, text }),
        (job.clone(), any::<u32>(), pcm).prop_map(|(job, rate, pcm)| Frame::Pcm { job, rate, pcm }),
        (job.clone(), text()).prop_map(|(job, text)| {
            let segments = vec![Span { start_ms: 1, end_ms: 2, text: text.clone() }];
            Frame::Done {
                job,
                outcome: Outcome::Transcribed(Transcribed { text, segments, ..Transcribed::default() }),
            }
        }),
        (job.clone(), any::<u32>()).prop_map(|(job, n)| Frame::Done {
            job,
            outcome: Outcome::Generated(Generated { completion_tokens: n, ..Generated::default() })
        }),
        (job.clone(), any::<u64>()).prop_map(|(job, samples)| Frame::Done {
            job,
            outcome: Outcome::Synthesized(Synthesized { samples, elapsed_us: 0 })
        }),
        (job, text(), text())
            .prop_map(|(job, kind, message)| Frame::Failed { job, failure: Failure { kind, message } }),
    ]
}

proptest! {
    #[test]
    fn frames_survive_any_cutting_of_the_stream(frames in proptest::collection::vec(frame(), 1..6), cut in 1usize..64) {
        let bytes: Vec<u8> = frames.iter().flat_map(|f| f.encode().unwrap()).collect();
        let mut decoder = Decoder::new();
        let mut read = Vec::new();
        for piece in bytes.chunks(cut) {
            decoder.push(piece);
            while let Some(frame) = decoder.poll().unwrap() {
                read.push(frame);
            }
        }
        prop_assert_eq!(&read, &frames);
        let mut cursor = Cursor::new(bytes);
        for frame in frames {
            prop_assert_eq!(wire::read(&mut cursor).unwrap(), Some(frame));
        }
        prop_assert!(wire::read(&mut cursor).unwrap().is_none());
    }

    #[test]
    fn any_bytes_give_frames_or_an_error_and_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        // Each frame takes at least nine bytes.
        for _ in 0..=bytes.len() / 9 {
            match decoder.poll() {
                Ok(Some(_)) | Err(WireError::Malformed { .. }) => {}
                Ok(None) | Err(_) => break,
            }
        }
        let mut cursor = Cursor::new(bytes);
        while let Ok(Some(_)) | Err(WireError::Malformed { .. }) = wire::read(&mut cursor) {}
    }

    #[test]
    fn a_changed_byte_never_loses_the_stream(frame in frame(), at in 0usize..1000, to in any::<u8>()) {
        // Behind the length, so that where the next frame begins is still known.
        let mut bytes = frame.encode().unwrap();
        let at = 4 + at % (bytes.len() - 4);
        bytes[at] = to;
        bytes.extend(Frame::Ping(7).encode().unwrap());
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        let first = decoder.poll();
        prop_assert!(first.as_ref().map_or_else(WireError::is_recoverable, Option::is_some));
        prop_assert_eq!(decoder.poll().unwrap(), Some(Frame::Ping(7)));
    }
}

#[test]
fn a_length_that_cannot_be_is_refused_before_memory_is_taken() {
    for len in [0u32, 4, MAX_FRAME as u32 + 1, u32::MAX] {
        let mut decoder = Decoder::new();
        decoder.push(&len.to_le_bytes());
        decoder.push(&[0; 16]);
        assert!(matches!(decoder.poll(), Err(WireError::Length(n)) if n == len as usize));
        assert!(matches!(decoder.poll(), Err(WireError::Length(_))), "and it stays so");
        assert!(matches!(wire::read(&mut Cursor::new(len.to_le_bytes())), Err(WireError::Length(_))));
    }
}

#[test]
fn a_frame_that_is_too_long_is_not_written() {
    let frame = Frame::Pcm { job: JobId(1), rate: 16_000, pcm: vec![0; MAX_FRAME / 2] };
    assert!(matches!(frame.encode(), Err(WireError::Length(_))));
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_told_from_one_that_ends() {
    let bytes = Frame::Ping(1).encode().unwrap();
    for n in 1..bytes.len() {
        assert!(matches!(wire::read(&mut Cursor::new(&bytes[..n])), Err(WireError::Truncated)), "{n}");
    }
}
