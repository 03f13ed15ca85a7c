//! A call that is recorded on a real file system of a megabyte, which fills up in mid-call and is given room again.
//!
//! To mount one asks for a mount namespace of one's own, so the test runs itself again in one; where neither a user namespace nor root's
//! rights are to be had, it says so and passes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use media::wav::{self, Recording};
use media::{Event, Stats};
use tokio::sync::mpsc::Receiver;

use crate::real_sockets::{call, engine, until};
use crate::recordings_survive::Folder;
use crate::support::*;

const INSIDE: &str = "OFFHOOK_TEST_SMALL_DISK";
const NAME: &str = "a_disk_may_be_full::the_call_goes_on_and_so_does_its_recording";
/// What is left of the disk when the call begins: three seconds of stereo.
const ROOM: usize = 96 << 10;
const DISK: usize = 1 << 20;

/// A command in a mount namespace of its own, with an empty disk of a megabyte at `place`.
fn with_disk(rights: &[&str], place: &Path) -> Command {
    let mount = format!("mount -t tmpfs -o size={DISK} none \"$0\" && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(rights).args(["--mount", "sh", "-c", &mount]).arg(place);
    command
}

#[tokio::test]
async fn the_call_goes_on_and_so_does_its_recording() {
    if let Some(disk) = std::env::var_os(INSIDE) {
        return inside(Path::new(&disk)).await;
    }
    let folder = Folder::new("small-disk");
    let as_ours: &[&str] = &["--user", "--map-root-user"];
    let allowed = [as_ours, &[]].into_iter().find(|rights| {
        with_disk(rights, &folder.0).arg("true").output().is_ok_and(|output| output.status.success())
    });
    let Some(rights) = allowed else {
        eprintln!("skipped: nobody here may mount a file system, neither in a user namespace nor as root");
        return;
    };
    let mut again = with_disk(rights, &folder.0);
    again.arg(std::env::current_exe().expect("this program")).args(["--exact", NAME, "--nocapture"]);
    let output = again.env(INSIDE, &folder.0).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

/// So much is heard of the other side.
async fn hears(events: &mut Receiver<Event>, time: Duration) {
    let mut frames = time.as_millis() / 20;
    until(events, |event| {
        frames -= u128::from(matches!(event, Event::Frame { .. }));
        (frames == 0).then_some(())
    })
    .await;
}

/// What a player relies on: the lengths in the header, against each other and against the file.
fn sound_bytes(path: &Path) -> usize {
    let bytes = std::fs::read(path).expect("there is a file");
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let (whole, sound) = (number(4), number(40));
    assert_eq!((&bytes[..4], &bytes[8..16], &bytes[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
    assert_eq!((whole, sound % 4), (sound + 36, 0));
    assert!(bytes.len() >= 44 + sound, "{sound} bytes of sound in {}", bytes.len());
    sound
}

async fn inside(disk: &Path) {
    let (ballast, path) = (disk.join("ballast"), disk.join("call.wav"));
    std::fs::write(&ballast, vec![1; DISK - ROOM]).expect("room for it");
    let engine = engine();
    let ((a, mut from_a), (b, mut from_b)) = call(&engine, Some(Recording { path: path.clone() })).await;
    let said = tone(8_000, 437.0, 40.0);
    a.play(chunk(1, 8_000, said.clone(), true)).await.expect("open");

    let reason = until(&mut from_a, |event| match event {
        Event::RecordingFailed { reason } => Some(reason.clone()),
        _ => None,
    })
    .await;
    assert!(reason.contains("call.wav") && reason.contains("No space left on device"), "{reason}");
    // The disk really is full; what got onto it is whole.
    assert!(std::fs::write(disk.join("more"), vec![1; 64 << 10]).is_err());
    std::fs::remove_file(disk.join("more")).expect("removed");
    assert!((ROOM / 2..ROOM).contains(&sound_bytes(&path)));
    hears(&mut from_b, Duration::from_secs(1)).await;

    std::fs::remove_file(&ballast).expect("removed");
    let lost_ms = until(&mut from_a, |event| match event {
        Event::RecordingResumed { lost_ms } => Some(*lost_ms),
        _ => None,
    })
    .await;
    hears(&mut from_b, Duration::from_secs(2)).await;
    let heard = b.close().await;
    let stats = a.close().await;
    assert!(stats.recording_error.as_ref().is_some_and(|error| error.contains("No space")), "{stats:?}");
    assert!(lost_ms >= 1_000, "{lost_ms}");
    assert_eq!(stats.recording_gaps * 20, lost_ms, "nothing else is missing: no block waited for the disk");

    // All of the call's time is in the file, and each sample where it belongs.
    let recording = wav::read(&path).expect("a WAV");
    assert_eq!(sound_bytes(&path), recording.samples.len() * 2);
    assert_eq!((recording.rate, recording.channels), (8_000, 2));
    let blocks = stats.recorded_blocks + stats.recording_gaps;
    assert_eq!(recording.samples.len() as u64, blocks * 320);
    // A machine that stood still for more than 200 ms shifts what is said, and only then.
    if engine.stats().skipped_ticks == 0 {
        in_its_place(&recording.channel(1), &said, &stats);
        assert_eq!(heard.lost, 0, "{heard:?}");
    }
}

fn in_its_place(ours: &[i16], said: &[i16], stats: &Stats) {
    let start = ours.iter().position(|&sample| sample != 0).expect("the tone") - 1;
    let blocks = ours[start..].chunks(160).zip(said.chunks(160));
    let (mut same, mut silent) = (0, 0);
    for (is, was) in blocks {
        same += u64::from(is == was);
        silent += u64::from(is.iter().all(|&sample| sample == 0));
    }
    println!("{same} blocks as they were said, {silent} silent, {} lost", stats.recording_gaps);
    // A block or two are cut where the disk became full and where it had room again.
    assert!(same + stats.recording_gaps + 4 >= (ours.len() - start) as u64 / 160, "{same}");
    assert!(silent <= stats.recording_gaps && silent + 60 >= stats.recording_gaps, "{silent}");
}
