//! One connection: a task that reads frames into the stack's inbox and writes what stands in its queue.
//!
//! Three futures run side by side in the task, and the first to end closes the connection: the reader, the
//! writer, and the watch on its times. Nothing waits for a slow peer: the queue is bounded, a write that does not
//! get on ends the connection, and so does a message that does not get complete.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::driver::Input;
use super::frame::{Broken, Frame, Framer};
use super::stream::StreamLimits;
use super::udp::Packet;
use crate::config::Path;

/// RFC 5626 §3.5.1.
const PING: &[u8] = b"\r\n\r\n";
const PONG: &[u8] = b"\r\n";
/// RFC 5626 §4.4.1: how long a pong may take.
const PONG_WAIT: Duration = Duration::from_secs(10);

/// One connection as its task knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) path: Path,
    /// We opened it: we send the pings, and the peer answers them.
    pub(super) outbound: bool,
}

/// What reader, writer and watch tell each other. Times are milliseconds since the start.
struct Pulse {
    start: Instant,
    /// Anything that we read.
    heard: AtomicU64,
    /// A whole message, either way.
    spoke: AtomicU64,
    /// When the message began that is not there yet; 0: none has.
    begun: AtomicU64,
    /// When we sent the ping that nothing has come after; 0: none waits.
    pinged: AtomicU64,
    /// Has the peer ever answered a ping? Only then is silence a sign (RFC 5626 §5.4 asks for agreement first).
    pongs: AtomicBool,
}

impl Pulse {
    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn mark(&self, what: &AtomicU64) {
        what.store(self.millis(), Ordering::Relaxed);
    }

    fn since(&self, what: &AtomicU64) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(what.load(Ordering::Relaxed)))
    }
}

/// Runs one connection to its end. `own` is the weak end of its own queue, for pings and pongs.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(
    stream: S,
    link: Link,
    limits: &StreamLimits,
    inbox: &mpsc::Sender<Input>,
    queue: &mut mpsc::Receiver<Bytes>,
    own: mpsc::WeakSender<Bytes>,
) {
    let (reader, writer) = tokio::io::split(stream);
    let pulse = Pulse {
        start: Instant::now(),
        heard: AtomicU64::new(0),
        spoke: AtomicU64::new(0),
        begun: AtomicU64::new(1),
        pinged: AtomicU64::new(0),
        pongs: AtomicBool::new(false),
    };
    if link.outbound {
        // Only a stranger owes us a first message.
        pulse.begun.store(0, Ordering::Relaxed);
    }
    tokio::select! {
        _ = read(reader, link, limits, inbox, &own, &pulse) => {}
        _ = write(writer, limits, queue, &pulse) => {}
        () = watch(link, limits, &own, &pulse) => {}
    }
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    link: Link,
    limits: &StreamLimits,
    inbox: &mpsc::Sender<Input>,
    own: &mpsc::WeakSender<Bytes>,
    pulse: &Pulse,
) -> io::Result<()> {
    let mut framer = Framer::new(limits.message);
    loop {
        framer.buffer().reserve(4096);
        if reader.read_buf(framer.buffer()).await? == 0 {
            return finish(inbox, link, framer.end()).await;
        }
        pulse.mark(&pulse.heard);
        pulse.pinged.store(0, Ordering::Relaxed);
        loop {
            let input = match framer.next() {
                Ok(None) => break,
                Ok(Some(Frame::Message(bytes))) => {
                    pulse.mark(&pulse.spoke);
                    pulse.begun.store(0, Ordering::Relaxed);
                    Input::Packet(Packet { path: link.path, bytes })
                }
                Ok(Some(Frame::Ping)) if !link.outbound => {
                    reply(own, PONG);
                    continue;
                }
                Ok(Some(Frame::LineEnd | Frame::Ping)) => {
                    pulse.pongs.store(link.outbound, Ordering::Relaxed);
                    continue;
                }
                Err(broken) => return finish(inbox, link, Some(broken)).await,
            };
            // Full: the peer waits, as TCP makes it.
            if inbox.send(input).await.is_err() {
                return Ok(());
            }
        }
        if framer.is_midway() && pulse.begun.load(Ordering::Relaxed) == 0 {
            pulse.begun.store(pulse.millis().max(1), Ordering::Relaxed);
        }
    }
}

/// There is nothing more to read. The stack answers what it can and closes our queue; then the writer ends the
/// connection, behind the answers.
async fn finish(inbox: &mpsc::Sender<Input>, link: Link, broken: Option<Broken>) -> io::Result<()> {
    // A stack that has shut down has closed the queue as well.
    let _ = inbox.send(Input::Finished { link, broken }).await;
    std::future::pending().await
}

/// A full queue has other proof of life to offer.
fn reply(own: &mpsc::WeakSender<Bytes>, bytes: &'static [u8]) {
    if let Some(own) = own.upgrade() {
        let _ = own.try_send(Bytes::from_static(bytes));
    }
}

/// Ends when the stack has dropped its end of the queue and all that stood in it is written.
async fn write(
    mut writer: impl AsyncWrite + Unpin,
    limits: &StreamLimits,
    queue: &mut mpsc::Receiver<Bytes>,
    pulse: &Pulse,
) -> io::Result<()> {
    while let Some(bytes) = queue.recv().await {
        let stalled = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(limits.stall, async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        })
        .await
        .map_err(stalled)??;
        if bytes.len() > PING.len() {
            pulse.mark(&pulse.spoke);
        }
    }
    // The last bytes must arrive before a reset can overtake them.
    let _ = timeout(limits.stall, writer.shutdown()).await;
    Ok(())
}

/// Ends when the connection has been silent, or a message unfinished, for too long.
async fn watch(link: Link, limits: &StreamLimits, own: &mpsc::WeakSender<Bytes>, pulse: &Pulse) {
    let mut next_ping = Instant::now() + limits.keep_alive;
    loop {
        let begun = pulse.begun.load(Ordering::Relaxed);
        let unfinished = begun != 0 && pulse.since(&pulse.begun) >= limits.unfinished;
        // Line ends of a peer that wants to be kept count for it; our own pings do not count for us.
        let silent = pulse.since(&pulse.spoke);
        let silent = if link.outbound { silent } else { silent.min(pulse.since(&pulse.heard)) };
        if unfinished || silent >= limits.idle {
            return;
        }
        let waits = pulse.pongs.load(Ordering::Relaxed) && pulse.pinged.load(Ordering::Relaxed) != 0;
        if waits && pulse.since(&pulse.pinged) >= PONG_WAIT {
            return;
        }
        if link.outbound && Instant::now() >= next_ping {
            pulse.mark(&pulse.pinged);
            reply(own, PING);
            next_ping += limits.keep_alive;
        }
        // A second is fine enough for times of many seconds.
        sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Transport;
    use tokio::io::DuplexStream;
    use tokio::task::JoinHandle;

    struct Bench {
        peer: DuplexStream,
        inbox: mpsc::Receiver<Input>,
        queue: Option<mpsc::Sender<Bytes>>,
        task: JoinHandle<()>,
        start: Instant,
    }

    fn bench(outbound: bool) -> Bench {
        let (peer, stream) = tokio::io::duplex(256);
        let (to_inbox, inbox) = mpsc::channel(16);
        let (sender, mut queue) = mpsc::channel(16);
        let own = sender.downgrade();
        let addr = "192.0.2.1:5060".parse().expect("an address");
        let link =
            Link { id: 1, path: Path { transport: Transport::Tcp, local: addr, remote: addr }, outbound };
        let task = tokio::spawn(async move {
            run(stream, link, &StreamLimits::default(), &to_inbox, &mut queue, own).await;
        });
        Bench { peer, inbox, queue: Some(sender), task, start: Instant::now() }
    }

    impl Bench {
        async fn say(&mut self, text: &[u8]) {
            self.peer.write_all(text).await.expect("open");
        }

        async fn hear(&mut self, length: usize) -> Vec<u8> {
            let mut bytes = vec![0; length];
            self.peer.read_exact(&mut bytes).await.expect("open");
            bytes
        }

        /// How long it lives, on the clock that jumps.
        async fn life(self) -> Duration {
            self.task.await.expect("no panic");
            self.start.elapsed()
        }
    }

    const BYE: &[u8] = b"BYE sip:a SIP/2.0\r\nl: 0\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_ping_is_answered_and_messages_are_handed_on() {
        let mut bench = bench(false);
        bench.say(b"\r\n\r\n").await;
        assert_eq!(bench.hear(2).await, PONG);
        bench.say(BYE).await;
        let Some(Input::Packet(packet)) = bench.inbox.recv().await else { panic!("no packet") };
        assert_eq!(packet.bytes, BYE);
        bench.queue.take();
        bench.life().await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_connects_and_says_nothing_is_let_go() {
        let limits = StreamLimits::default();
        let life = bench(false).life().await;
        assert!((limits.unfinished..limits.unfinished + Duration::from_secs(2)).contains(&life), "{life:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_comes_drop_by_drop_is_given_up() {
        let mut bench = bench(false);
        bench.say(BYE).await;
        bench.say(b"\r\n").await;
        for byte in b"INVITE sip:somebody" {
            tokio::time::advance(Duration::from_secs(1)).await;
            bench.say(&[*byte]).await;
        }
        let limits = StreamLimits::default();
        assert!(bench.life().await <= limits.unfinished + Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed_and_line_ends_keep_it() {
        let limits = StreamLimits::default();
        let mut quiet = bench(false);
        quiet.say(BYE).await;
        assert!(quiet.life().await < limits.idle + Duration::from_secs(2));
        let mut kept = bench(false);
        kept.say(BYE).await;
        for _ in 0..4 {
            tokio::time::advance(limits.idle / 2).await;
            kept.say(b"\r\n\r\n").await;
            kept.hear(2).await;
        }
        assert!(kept.life().await > limits.idle * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_once_answered_a_ping_must_go_on_to() {
        let limits = StreamLimits::default();
        let mut polite = bench(true);
        assert_eq!(polite.hear(4).await, PING);
        polite.say(PONG).await;
        assert_eq!(polite.hear(4).await, PING);
        let life = polite.life().await;
        assert!(life < limits.keep_alive * 2 + PONG_WAIT + Duration::from_secs(4), "{life:?}");
        // One that never did is kept until it is idle.
        let silent = bench(true);
        let (mut peer, task) = (silent.peer, silent.task);
        let sink = tokio::spawn(async move { tokio::io::copy(&mut peer, &mut tokio::io::sink()).await });
        task.await.expect("no panic");
        assert!(silent.start.elapsed() >= limits.idle);
        sink.await.expect("no panic").expect("closed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_let_go() {
        let limits = StreamLimits::default();
        let bench = bench(true);
        let queue = bench.queue.as_ref().expect("open").clone();
        queue.send(Bytes::from(vec![b'x'; 1000])).await.expect("room");
        drop(queue);
        assert!(bench.life().await <= limits.stall + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_queued_is_written_before_the_end() {
        let mut bench = bench(true);
        let queue = bench.queue.take().expect("open");
        queue.send(Bytes::from_static(BYE)).await.expect("room");
        drop(queue);
        assert_eq!(bench.hear(BYE.len()).await, BYE);
        let mut rest = Vec::new();
        bench.peer.read_to_end(&mut rest).await.expect("closed in order");
        assert!(rest.is_empty());
    }
}
