//! Registers with a server, calls a number there, stays for a few seconds, hangs up, unregisters; and answers
//! whoever calls meanwhile.
//!
//! `cargo run -p sip --example dial -- sip:alice@127.0.0.1:5060 alice-pw sip:bob@127.0.0.1:5060`

use std::time::Duration;

use sip::net::{StackConfig, bind};
use sip::{Body, Credentials, Event, Invite, NameAddr, Register, RegistrationState, Uri};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, aor, password, rest @ ..] = &args[..] else {
        return Err("usage: dial <address of record> <password> [<uri to call>]".into());
    };
    let aor: Uri = aor.parse()?;
    let sip = aor.as_sip().ok_or("no sip uri")?;
    let registrar = Uri::sip(None, sip.host.clone(), sip.port);
    let credentials =
        Credentials { username: aor.user().ok_or("no user")?, password: password.as_str().into() };
    let (stack, mut events) =
        bind(StackConfig { udp: vec!["127.0.0.1:0".parse()?], ..Default::default() }).await?;
    let path = stack.resolve(&registrar).await?;
    let register = Register {
        registrar,
        aor: aor.clone(),
        contact_user: credentials.username.clone(),
        credentials: credentials.clone(),
        expires: Duration::from_secs(120),
        path,
        route: vec![],
    };
    let id = stack.register(register).await?;
    let to: Option<Uri> = rest.first().map(|text| text.parse()).transpose()?;
    loop {
        let event = tokio::select! {
            event = events.recv() => event.ok_or("closed")?,
            _ = tokio::signal::ctrl_c() => break,
        };
        println!("{event:?}");
        match event {
            Event::Registration { state: RegistrationState::Registered { .. }, .. } => {
                let Some(to) = to.clone() else { continue };
                let invite = Invite {
                    to,
                    from: NameAddr::from(aor.clone()),
                    credentials: Some(credentials.clone()),
                    path,
                    route: vec![],
                    headers: vec![],
                    body: Some(Body::sdp(SDP)),
                    redirects: 0,
                };
                stack.invite(invite).await?;
            }
            Event::Incoming { leg, .. } => stack.answer(leg, Body::sdp(SDP)).await?,
            Event::Reoffer { leg, .. } => stack.accept_offer(leg, Body::sdp(SDP)).await?,
            Event::Answered { leg, .. } => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stack.hangup(leg, None).await?;
            }
            Event::Ended { .. } if to.is_some() => break,
            Event::Registration { state: RegistrationState::Rejected { .. }, .. } => break,
            _ => {}
        }
    }
    stack.unregister(id).await?;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(1), events.recv()).await {
        println!("{event:?}");
        if matches!(event, Event::Registration { .. }) {
            break;
        }
    }
    println!("{:?}", stack.stats().await?);
    stack.shutdown().await;
    Ok(())
}
