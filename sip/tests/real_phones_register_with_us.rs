//! baresip as a phone of ours: it registers, is called, calls, and leaves.

#![cfg(feature = "net")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use sip::net::{Stack, StackConfig, bind};
use sip::{Account, Binding, Body, CauseKind, Config, Event, Invite, NameAddr, Registrar, Transport};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// A fence for what goes wrong. Nothing waits for it.
const FENCE: Duration = Duration::from_secs(30);

async fn registrar() -> (Stack, Receiver<Event>) {
    let here = vec!["127.0.0.1:0".parse().expect("an address")];
    let endpoint = Config { registrar: Some(Registrar::default()), ..Config::default() };
    let config = StackConfig { endpoint, udp: here.clone(), tcp: here, ..StackConfig::default() };
    let (stack, events) = bind(config).await.expect("free ports");
    let account =
        Account { username: "201".into(), password: "secret-1".into(), register: true, max_contacts: None };
    stack.set_accounts(vec![account]).await.expect("open");
    (stack, events)
}

async fn next(events: &mut Receiver<Event>) -> Event {
    timeout(FENCE, events.recv()).await.expect("no event in time").expect("an open stack")
}

async fn bound(events: &mut Receiver<Event>) -> Vec<Binding> {
    loop {
        match next(events).await {
            Event::Bound { username, bindings } => {
                assert_eq!(username, "201");
                return bindings;
            }
            Event::FlowLost { .. } => {}
            other => panic!("not of a binding: {other:?}"),
        }
    }
}

struct Phone {
    child: Child,
    /// Its configuration lives as long as it does.
    _folder: TempDir,
}

impl Phone {
    fn start(registrar: SocketAddr, transport: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let account = format!(
            "<sip:201@{registrar};transport={transport}>;auth_user=201;auth_pass=secret-1;regint=600;\
             audio_codecs=PCMU/8000/1;answermode=auto\n"
        );
        let config = "sip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\naudio_source aubridge,none\naudio_player aubridge,none\n\
             audio_alert aubridge,none\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aubridge.so\n\
             module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n";
        std::fs::write(folder.path().join("accounts"), account).expect("a file");
        std::fs::write(folder.path().join("config"), config).expect("a file");
        let child = Command::new("baresip")
            .args(["-4", "-f"])
            .arg(folder.path())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("baresip does not start: {error}. scripts/setup-test.sh brings it")
            });
        Self { child, _folder: folder }
    }

    /// It takes its binding back before it leaves.
    async fn leave(&mut self) {
        let id = self.child.id().expect("it runs").to_string();
        let told = Command::new("kill").args(["-INT", &id]).status().await.expect("kill");
        assert!(told.success());
    }
}

fn call(binding: &Binding, from: SocketAddr) -> Invite {
    let from = format!("sip:agent@{from}").parse().expect("a uri");
    let offer =
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    Invite {
        to: binding.contact.clone(),
        from: NameAddr::new(None, from),
        credentials: None,
        path: binding.path,
        route: binding.route.clone(),
        redirects: 0,
        headers: Vec::new(),
        body: Some(Body::sdp(offer)),
    }
}

async fn it_registers_is_called_and_leaves(transport: Transport) {
    let (stack, mut events) = registrar().await;
    let registrar = stack.local_addrs(transport)[0];
    let mut phone = Phone::start(registrar, &transport.as_str().to_ascii_lowercase(), &[]);
    let bindings = bound(&mut events).await;
    assert_eq!(bindings.len(), 1);
    assert_eq!(bindings[0].path.transport, transport);
    assert!(bindings[0].user_agent.as_deref().is_some_and(|agent| agent.contains("baresip")));
    assert_eq!(stack.bindings("201".into()).await.expect("open").len(), 1);
    let leg = stack.invite(call(&bindings[0], registrar)).await.expect("open");
    loop {
        match next(&mut events).await {
            Event::Answered { status: 200, body: Some(_), .. } => break,
            Event::Progress { .. } => {}
            other => panic!("not answered: {other:?}"),
        }
    }
    stack.hangup(leg, None).await.expect("open");
    let Event::Ended { cause, .. } = next(&mut events).await else { panic!("no end") };
    assert_eq!(cause.kind, CauseKind::Bye);
    phone.leave().await;
    assert!(bound(&mut events).await.is_empty());
    let stats = stack.stats().await.expect("open");
    assert_eq!((stats.failed_auth, stats.bindings), (0, 0));
    stack.shutdown().await;
}

#[tokio::test]
async fn by_udp() {
    it_registers_is_called_and_leaves(Transport::Udp).await;
}

#[tokio::test]
async fn by_tcp() {
    it_registers_is_called_and_leaves(Transport::Tcp).await;
}

#[tokio::test]
async fn it_calls_and_its_name_is_proven() {
    let (stack, mut events) = registrar().await;
    let dial = format!("d sip:agent@{}", stack.local_addr());
    let _phone = Phone::start(stack.local_addr(), "udp", &["-e", &dial]);
    loop {
        match next(&mut events).await {
            Event::Incoming { leg, request } => {
                assert_eq!(request.account.as_deref(), Some("201"));
                stack.reject(leg, 486).await.expect("open");
            }
            Event::Ended { .. } => break,
            Event::Bound { .. } => {}
            other => panic!("not a call: {other:?}"),
        }
    }
    stack.shutdown().await;
}
