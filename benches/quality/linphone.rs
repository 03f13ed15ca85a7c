//! Another end of the line: `mediastream`, the sound of Linphone without its telephone. It has an adaptive buffer, and fills what is
//! missing with what was heard before.

use std::error::Error;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use media::wav::{self, Wav};

use crate::company::Call;
use crate::link::Arrival;
use crate::phone::{Format, Way};

pub(crate) struct Linphone {
    process: Child,
    heard: PathBuf,
    way: Way,
}

impl Drop for Linphone {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Linphone {
    /// Starts the one number `seat`; each has a port of its own.
    pub(crate) fn start(folder: &Path, seat: u8, format: &Format) -> Result<Linphone, Box<dyn Error>> {
        let folder = folder.join(format!("linphone-{seat}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        // Its microphone gives silence for longer than any run, and sets the rate of what it writes down.
        let silence = folder.join("silence.wav");
        let samples = vec![0; format.rate as usize * 300];
        wav::write(&silence, &Wav { rate: format.rate, channels: 1, samples })?;
        let heard = folder.join("heard.wav");
        let port = 36_000 + 2 * u16::from(seat);
        let sound = UdpSocket::bind(("127.0.0.1", 0))?;
        let mut command = Command::new("mediastream");
        command.args(["--local", &port.to_string(), "--remote", &sound.local_addr()?.to_string()]);
        command.arg("--payload").args(format.linphone);
        command.args(["--no-rtcp", "--no-avpf", "--infile"]).arg(&silence).arg("--outfile").arg(&heard);
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(
                |error| format!("mediastream does not start: {error} (`make bench-quality` installs it)"),
            )?;
        Ok(Linphone { process, heard, way: Way::new(sound, ([127, 0, 0, 1], port).into())? })
    }

    pub(crate) fn listen(
        mut self,
        packets: &[Vec<u8>],
        journey: &[Arrival],
        after: Duration,
    ) -> Result<Call, Box<dyn Error>> {
        self.way.wait_for_first(after)?;
        let (began, late) = self.way.send(packets, journey)?;
        // On an interrupt it completes its file.
        let id = self.process.id().to_string();
        Command::new("kill").args(["-INT", &id]).status()?;
        for _ in 0..100 {
            if self.process.try_wait()?.is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Call { heard: self.way.heard(&self.heard, began)?, late })
    }
}
