//! The application that is measured: it rings, answers every call with a description, and waits for the BYE.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::io::BufRead;
use std::sync::atomic::{AtomicUsize, Ordering};

use sip::net::{StackConfig, bind};
use sip::{Body, Event};

const SDP: &str = "v=0\r\no=- 7132 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 9 101\r\n\
    a=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

/// What is allocated and not freed. The resident size alone would not show a small leak: pages that were once used come
/// and go as the system's allocator likes.
struct Counted;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// SAFETY: everything is handed on to the system's allocator as it came; only sizes are counted.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: our caller keeps the contract that this one has.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        IN_USE.fetch_add(size, Ordering::Relaxed);
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Says its address on the first line. Each line that it reads is answered with how many legs and transactions are
/// alive, and how many bytes are in use; the end of the input is its own.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let udp = vec!["127.0.0.1:0".parse()?];
    let (stack, mut events) = bind(StackConfig { udp, ..Default::default() }).await?;
    println!("{}", stack.local_addr());
    let (ask, mut asked) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines() {
            if ask.blocking_send(()).is_err() {
                return;
            }
        }
    });
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Incoming { leg, .. }) => {
                    stack.ring(leg, 180, None).await?;
                    stack.answer(leg, Body::sdp(SDP)).await?;
                }
                Some(_) => {}
                None => break,
            },
            asked = asked.recv() => match asked {
                Some(()) => {
                    let stats = stack.stats().await?;
                    println!("{} {} {}", stats.legs, stats.transactions, IN_USE.load(Ordering::Relaxed));
                }
                None => break,
            },
        }
    }
    stack.shutdown().await;
    Ok(())
}
