//! WAV files: both sides aligned, and playable whenever the process dies.

use media::wav::{self, Wav, Writer};

use crate::support::*;

pub struct Folder(pub std::path::PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("offhook-media-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_is_valid_at_every_flush_and_after_a_kill() {
    let folder = Folder::new("kill");
    let path = folder.0.join("call.wav");
    let mut writer = Writer::create(&path, 8_000, 2).expect("created");
    assert_eq!(wav::read(&path).expect("valid when empty").samples, []);
    let mut flushed = 0;
    for second in 0..5 {
        let sound = tone(8_000, 400.0 + 100.0 * f64::from(second), 0.5);
        writer.push(&sound);
        assert_eq!(wav::read(&path).expect("valid between flushes").samples.len(), flushed);
        writer.flush().expect("flushed");
        flushed += sound.len();
        assert_eq!(wav::read(&path).expect("valid after a flush").samples.len(), flushed);
    }
    // Killed while appending: sound without its length. The header still states what was complete.
    writer.push(&[1; 999]);
    std::mem::forget(writer);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes.extend([7; 333]);
    assert_eq!(wav::parse(&bytes).expect("valid").samples.len(), flushed);
    // Cut short by the file system: what is there is read.
    bytes.truncate(44 + 1_001);
    assert_eq!(wav::parse(&bytes).expect("valid").samples.len(), 500);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_what_was_there() {
    // /dev/full takes nothing: the header cannot be written.
    if !std::path::Path::new("/dev/full").exists() {
        eprintln!("skipped: no /dev/full here");
        return;
    }
    let error = Writer::create("/dev/full", 8_000, 2).expect_err("no space");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn both_sides_lie_on_one_clock() {
    let began = start();
    let (mut a, mut b) = (Party::new(began, 1), Party::new(began, 2));
    a.session.configure(began, &agreed(address(2, 5_000)));
    b.session.configure(began, &agreed(address(1, 4_000)));
    a.session.play(chunk(1, 8_000, tone(8_000, 300.0, 1.0), true)).expect("room");
    for tick in 0..100 {
        let now = began + TICK * tick;
        a.tick(now);
        b.tick(now);
        for (_, bytes) in a.sent.split_off(0) {
            b.session.handle_packet(now, address(1, 4_000), &bytes);
        }
        // B says back what it hears, at once.
        let heard = b.heard[b.heard.len() - 160..].to_vec();
        b.session.play(chunk(2, 8_000, heard, false)).expect("room");
    }
    // Left and right of B's recording are a tick apart, to the sample.
    assert_eq!(b.heard.len(), 100 * 160);
    assert_eq!(b.heard[..b.heard.len() - 160], b.said[160..]);
}

#[test]
fn files_of_others_are_read() {
    // A chunk that we do not know, of odd length; the "extensible" format; a length that the writer never corrected.
    let mut bytes = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x28\0\0\0".to_vec();
    bytes.extend([0xfe, 0xff, 1, 0, 0x80, 0x3e, 0, 0, 0, 0x7d, 0, 0, 2, 0, 16, 0, 22, 0, 16, 0, 4, 0, 0, 0]);
    bytes.extend([1, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
    bytes.extend(b"data\xff\xff\xff\xff\x01\0\x02\0\x03");
    assert_eq!(wav::parse(&bytes), Ok(Wav { rate: 16_000, channels: 1, samples: vec![1, 2] }));
    let stereo = Wav { rate: 8_000, channels: 2, samples: vec![1, 3, 5, 7] };
    assert_eq!((stereo.channel(0), stereo.channel(1), stereo.channel(2)), (vec![1, 5], vec![3, 7], vec![]));
    assert_eq!(stereo.mono(), [2, 6]);
}
