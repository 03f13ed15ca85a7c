//! Answers every call on one address, by UDP and TCP, until Ctrl-C, and says what it counted.
//!
//! `cargo run -p sip --example answer -- 127.0.0.1:5080`, then for instance `sipp -sn uac 127.0.0.1:5080 -m 200`,
//! or `sipp -sn uac 127.0.0.1:5080 -m 200 -t t1`.

use std::net::SocketAddr;

use sip::net::{StackConfig, bind};
use sip::{Body, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr: SocketAddr = std::env::args().nth(1).unwrap_or("127.0.0.1:5080".into()).parse()?;
    let (stack, mut events) =
        bind(StackConfig { udp: vec![addr], tcp: vec![addr], ..Default::default() }).await?;
    println!("answering on {}", stack.local_addr());
    let ip = addr.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let sdp = format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    );
    let quiet = std::env::args().any(|arg| arg == "--quiet");
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Incoming { leg, request }) => {
                    if !quiet {
                        println!("{leg:?}: {} calls {}", request.from, request.request_uri);
                    }
                    stack.ring(leg, 180, None).await?;
                    stack.answer(leg, Body::sdp(sdp.clone())).await?;
                }
                Some(Event::Reoffer { leg, .. }) => stack.accept_offer(leg, Body::sdp(sdp.clone())).await?,
                Some(event) if !quiet => println!("{event:?}"),
                Some(_) => {}
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    println!("{:?}", stack.stats().await?);
    stack.shutdown().await;
    Ok(())
}
