//! RFC 3263 by script: what DNS has, and the servers that come of it.

#![cfg(feature = "net")]

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sip::net::{
    Answer, Dns, Kind, Lookup, Naptr, Record, ResolveError, Srv, StackConfig, SystemDns, bind, locate,
};
use sip::{Transport, Uri};
use tokio::net::UdpSocket;

const HOUR: Duration = Duration::from_secs(3600);

/// What is there, by name and kind; and what was asked.
#[derive(Debug, Default)]
struct Script {
    zone: HashMap<(String, Kind), Answer>,
    broken: Vec<(String, Kind)>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn with(mut self, name: &str, ttl: u64, record: Record) -> Self {
        let kind = match record {
            Record::Address(_) => Kind::Address,
            Record::Srv(_) => Kind::Srv,
            Record::Naptr(_) => Kind::Naptr,
        };
        let ttl = Duration::from_secs(ttl);
        let answer =
            self.zone.entry((name.to_owned(), kind)).or_insert_with(|| Answer { records: Vec::new(), ttl });
        answer.records.push(record);
        answer.ttl = answer.ttl.min(ttl);
        self
    }

    fn address(self, name: &str, ip: &str) -> Self {
        self.with(name, 3600, Record::Address(ip.parse().expect("an address")))
    }

    fn srv(self, name: &str, priority: u16, weight: u16, port: u16, target: &str) -> Self {
        let target = target.to_owned();
        self.with(name, 3600, Record::Srv(Srv { priority, weight, port, target }))
    }

    fn naptr(self, name: &str, order: u16, preference: u16, service: &str, replacement: &str) -> Self {
        let naptr = Naptr {
            order,
            preference,
            flags: "s".into(),
            service: service.into(),
            replacement: replacement.into(),
        };
        self.with(name, 3600, Record::Naptr(naptr))
    }

    fn broken(mut self, name: &str, kind: Kind) -> Self {
        self.broken.push((name.to_owned(), kind));
        self
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }
}

impl Dns for Script {
    fn query<'a>(&'a self, name: &'a str, kind: Kind) -> Lookup<'a> {
        Box::pin(async move {
            self.asked.lock().expect("no panic").push(format!("{name} {kind:?}"));
            let key = (name.trim_end_matches('.').to_owned(), kind);
            if self.broken.contains(&key) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let nothing = Answer { records: Vec::new(), ttl: HOUR };
            Ok(self.zone.get(&key).cloned().unwrap_or(nothing))
        })
    }
}

fn everything(_: Transport, v4: bool) -> bool {
    v4
}

/// `udp 192.0.2.1:5060` and so on, in order.
async fn find(script: &Script, uri: &str) -> Vec<String> {
    find_with(script, uri, &everything).await
}

async fn find_with(
    script: &Script,
    uri: &str,
    spoken: &(dyn Fn(Transport, bool) -> bool + Sync),
) -> Vec<String> {
    let uri: Uri = uri.parse().expect("a uri");
    match locate(script, &uri, spoken, [1; 32]).await {
        Ok(targets) => targets
            .list
            .iter()
            .map(|target| format!("{} {}", target.transport.as_str().to_lowercase(), target.remote))
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}

#[tokio::test]
async fn literal_addresses_and_ports_ask_for_little() {
    let dns = Script::default().address("example.com", "192.0.2.7");
    assert_eq!(find(&dns, "sip:a@192.0.2.1").await, ["udp 192.0.2.1:5060"]);
    assert_eq!(find(&dns, "sips:a@192.0.2.1").await, ["tls 192.0.2.1:5061"]);
    assert_eq!(find(&dns, "sip:a@192.0.2.1:5070;transport=tcp").await, ["tcp 192.0.2.1:5070"]);
    assert_eq!(find(&dns, "sips:a@192.0.2.1;transport=tcp").await, ["tls 192.0.2.1:5061"]);
    assert_eq!(find(&dns, "sip:a@192.0.2.1;transport=tls").await, ["tls 192.0.2.1:5061"]);
    assert!(dns.asked().is_empty());
    assert_eq!(find(&dns, "sip:a@example.com:5070").await, ["udp 192.0.2.7:5070"]);
    assert_eq!(find(&dns, "sips:a@example.com:5070").await, ["tls 192.0.2.7:5070"]);
    assert_eq!(dns.asked(), ["example.com Address", "example.com Address"], "a port ends the search");
    // The target is the maddr, where there is one.
    assert_eq!(find(&dns, "sip:a@elsewhere.example;maddr=192.0.2.9").await, ["udp 192.0.2.9:5060"]);
}

#[tokio::test]
async fn the_example_of_the_rfc() {
    // RFC 3263 §4.1, §4.2.
    let dns = Script::default()
        .naptr("example.com", 50, 50, "SIPS+D2T", "_sips._tcp.example.com")
        .naptr("example.com", 90, 50, "SIP+D2T", "_sip._tcp.example.com")
        .naptr("example.com", 100, 50, "SIP+D2U", "_sip._udp.example.com")
        .srv("_sip._tcp.example.com", 0, 1, 5060, "server1.example.com")
        .srv("_sip._tcp.example.com", 1, 2, 5060, "server2.example.com")
        .srv("_sips._tcp.example.com", 0, 1, 5061, "server1.example.com")
        .srv("_sip._udp.example.com", 0, 1, 5062, "server2.example.com")
        .address("server1.example.com", "192.0.2.1")
        .address("server2.example.com", "192.0.2.2");
    let all = ["tls 192.0.2.1:5061", "tcp 192.0.2.1:5060", "tcp 192.0.2.2:5060", "udp 192.0.2.2:5062"];
    assert_eq!(find(&dns, "sip:a@example.com").await, all);
    assert_eq!(find(&dns, "sips:a@example.com").await, all[..1]);
    let plain = |transport, v4| v4 && transport != Transport::Tls;
    assert_eq!(find_with(&dns, "sip:a@example.com", &plain).await, all[1..]);
    assert_eq!(find(&dns, "sip:a@example.com;transport=udp").await, all[3..]);
    assert!(find_with(&dns, "sips:a@example.com", &plain).await[0].contains("not spoken"));
}

#[tokio::test]
async fn order_goes_before_preference_and_other_services_are_passed_over() {
    let dns = Script::default()
        .naptr("example.com", 2, 1, "SIP+D2U", "u.example.com")
        .naptr("example.com", 1, 9, "SIP+D2T", "t2.example.com")
        .naptr("example.com", 1, 5, "sip+d2t", "t1.example.com")
        .naptr("example.com", 0, 0, "E2U+sip", "x.example.com")
        .srv("u.example.com", 0, 0, 1, "h.example.com")
        .srv("t1.example.com", 0, 0, 2, "h.example.com")
        .srv("t2.example.com", 0, 0, 3, "h.example.com")
        .address("h.example.com", "192.0.2.1");
    let all = ["tcp 192.0.2.1:2", "tcp 192.0.2.1:3", "udp 192.0.2.1:1"];
    assert_eq!(find(&dns, "sip:a@example.com").await, all);
}

#[tokio::test]
async fn without_naptr_every_transport_is_asked_for_its_servers() {
    let dns = Script::default()
        .srv("_sip._tcp.example.com", 0, 0, 5060, "t.example.com")
        .srv("_sip._udp.example.com", 10, 0, 5060, "backup.example.com")
        .srv("_sip._udp.example.com", 5, 0, 5070, "main.example.com")
        .address("main.example.com", "192.0.2.1")
        .address("main.example.com", "192.0.2.2")
        .address("backup.example.com", "192.0.2.3")
        .address("t.example.com", "192.0.2.4");
    let udp = ["udp 192.0.2.1:5070", "udp 192.0.2.2:5070", "udp 192.0.2.3:5060"];
    assert_eq!(find(&dns, "sip:a@example.com").await, [&udp[..], &["tcp 192.0.2.4:5060"]].concat());
    assert_eq!(find(&dns, "sip:a@example.com;transport=udp").await, udp);
    let tcp_only = |transport, v4| v4 && transport == Transport::Tcp;
    assert_eq!(find_with(&dns, "sip:a@example.com", &tcp_only).await, ["tcp 192.0.2.4:5060"]);
}

#[tokio::test]
async fn without_srv_the_name_itself_and_its_family() {
    let dns = Script::default().address("example.com", "2001:db8::1").address("example.com", "192.0.2.1");
    assert_eq!(find(&dns, "sip:a@example.com").await, ["udp 192.0.2.1:5060"]);
    let both = |_, _| true;
    let all = ["udp [2001:db8::1]:5060", "udp 192.0.2.1:5060"];
    assert_eq!(find_with(&dns, "sip:a@example.com", &both).await, all);
    let six = |_, v4: bool| !v4;
    assert_eq!(find_with(&dns, "sips:a@example.com", &six).await, ["tls [2001:db8::1]:5061"]);
    assert_eq!(
        find(&dns, "sip:a@nowhere.example").await,
        ["nowhere.example has no address that a local socket can reach"]
    );
}

#[tokio::test]
async fn a_dot_says_that_there_is_no_service() {
    let dns = Script::default()
        .srv("_sip._udp.example.com", 0, 0, 0, ".")
        .address("example.com", "192.0.2.1")
        .srv("_sip._tcp.other.example", 0, 0, 5060, "h.example.com")
        .srv("_sip._udp.other.example", 0, 0, 0, ".")
        .address("h.example.com", "192.0.2.2");
    let error = find(&dns, "sip:a@example.com;transport=udp").await;
    assert!(error[0].contains("no address"), "{error:?}");
    assert_eq!(find(&dns, "sip:a@other.example").await, ["tcp 192.0.2.2:5060"]);
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_only_when_nothing_else_is_found() {
    let dns = Script::default()
        .broken("example.com", Kind::Naptr)
        .srv("_sip._udp.example.com", 0, 0, 5060, "h.example.com")
        .address("h.example.com", "192.0.2.1")
        .broken("dark.example", Kind::Naptr);
    assert_eq!(find(&dns, "sip:a@example.com").await, ["udp 192.0.2.1:5060"]);
    let uri: Uri = "sip:a@dark.example".parse().expect("a uri");
    let error = locate(&dns, &uri, &everything, [1; 32]).await.expect_err("nothing there");
    assert!(matches!(error, ResolveError::Dns { host, .. } if host == "dark.example"));
}

#[tokio::test]
async fn weights_are_drawn_by_the_seed() {
    let mut dns = Script::default();
    for i in 1..=6 {
        let name = format!("h{i}.example.com");
        dns = dns.srv("_sip._udp.example.com", 0, i, 5060, &name).address(&name, &format!("192.0.2.{i}"));
    }
    let uri: Uri = "sip:a@example.com;transport=udp".parse().expect("a uri");
    let once = async |seed: u8| locate(&dns, &uri, &everything, [seed; 32]).await.expect("servers").list;
    assert_eq!(once(1).await, once(1).await);
    let mut first = std::collections::HashSet::new();
    for seed in 0..20 {
        let list = once(seed).await;
        assert_eq!(list.len(), 6, "every one is there to fail over to");
        first.insert(list[0]);
    }
    assert!(first.len() > 1, "the load is shared");
}

#[tokio::test]
async fn the_shortest_life_is_the_life_of_all_and_then_it_is_asked_again() {
    let changing =
        Script::default().with("example.com", 300, Record::Address("192.0.2.1".parse().expect("an address")));
    let uri: Uri = "sip:a@example.com".parse().expect("a uri");
    let (udp, dns) = (vec!["127.0.0.1:0".parse().expect("an address")], Arc::new(changing));
    let config = StackConfig { udp, dns: Some(dns.clone()), ..Default::default() };
    let (stack, _events) = bind(config).await.expect("a port");
    let paths = stack.resolve_all(&uri).await.expect("a server");
    assert_eq!(paths.list[0].remote, "192.0.2.1:5060".parse().expect("an address"));
    assert_eq!(paths.list[0].local, stack.local_addr());
    assert_eq!(paths.ttl, Duration::from_secs(300));
    let asked = ["example.com Naptr", "_sip._udp.example.com Srv", "example.com Address"];
    assert_eq!(dns.asked(), asked, "udp alone is spoken");
    assert_eq!(stack.resolve(&uri).await.expect("a server"), paths.list[0]);
    assert_eq!(dns.asked(), asked, "nothing is kept here: the resolver knows what has run out");
    let literal = stack.resolve_all(&"sip:192.0.2.1".parse().expect("a uri")).await.expect("an address");
    assert_eq!(literal.ttl, Duration::MAX);
    stack.shutdown().await;
}

#[tokio::test]
async fn a_list_without_end_is_cut() {
    let mut dns = Script::default();
    for i in 0..=255 {
        dns = dns.address("example.com", &format!("192.0.2.{i}"));
    }
    assert_eq!(find(&dns, "sip:a@example.com").await.len(), 32);
}

/// A name server for a handful of names: answers by name and type, with time to live 60.
async fn name_server(zone: Vec<(&'static str, u16, Vec<u8>)>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let addr = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let query = &buffer[..length];
            let (mut name, mut at) = (String::new(), 12);
            while query[at] != 0 {
                let label = &query[at + 1..at + 1 + usize::from(query[at])];
                name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                name.push('.');
                at += 1 + label.len();
            }
            let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
            let records: Vec<_> = zone.iter().filter(|(n, k, _)| *n == name && *k == kind).collect();
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
            answer.extend(&query[12..at + 5]);
            for (_, kind, data) in records {
                answer.extend([0xc0, 12]);
                answer.extend(kind.to_be_bytes());
                answer.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
                answer.extend(data);
            }
            socket.send_to(&answer, from).await.expect("loopback");
        }
    });
    addr
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes
}

fn wire_naptr(order: u8, service: &str, replacement: &str) -> Vec<u8> {
    let mut bytes = vec![0, order, 0, 1, 1, b's', service.len() as u8];
    bytes.extend(service.as_bytes());
    bytes.push(0);
    bytes.extend(wire_name(replacement));
    bytes
}

fn wire_srv(priority: u8, port: u16, target: &str) -> Vec<u8> {
    let mut bytes = vec![0, priority, 0, 0];
    bytes.extend(port.to_be_bytes());
    bytes.extend(wire_name(target));
    bytes
}

#[tokio::test]
async fn a_real_name_server_is_read_from_naptr_to_address() {
    let server = name_server(vec![
        ("example.com.", 35, wire_naptr(2, "SIP+D2U", "_sip._udp.example.com.")),
        ("example.com.", 35, wire_naptr(1, "SIP+D2T", "_sip._tcp.example.com.")),
        ("_sip._tcp.example.com.", 33, wire_srv(1, 5070, "h.example.com.")),
        ("_sip._udp.example.com.", 33, wire_srv(1, 5080, "h.example.com.")),
        ("h.example.com.", 1, vec![192, 0, 2, 1]),
        ("h.example.com.", 28, "2001:db8::1".parse::<std::net::Ipv6Addr>().expect("one").octets().to_vec()),
    ])
    .await;
    let dns = SystemDns::at(server);
    let uri: Uri = "sip:a@example.com".parse().expect("a uri");
    let targets = locate(&dns, &uri, &|_, _| true, [1; 32]).await.expect("servers");
    let remotes: Vec<String> =
        targets.list.iter().map(|target| format!("{:?} {}", target.transport, target.remote)).collect();
    let all =
        ["Tcp 192.0.2.1:5070", "Tcp [2001:db8::1]:5070", "Udp 192.0.2.1:5080", "Udp [2001:db8::1]:5080"];
    assert_eq!(remotes, all);
    assert!(targets.ttl <= Duration::from_secs(60) && targets.ttl > Duration::from_secs(50));
    let nowhere: Uri = "sip:a@nowhere.example".parse().expect("a uri");
    let error = locate(&dns, &nowhere, &|_, _| true, [1; 32]).await.expect_err("not there");
    assert!(matches!(error, ResolveError::NoAddress { .. }), "{error}");
}

#[tokio::test]
async fn the_system_knows_its_own_name() {
    let answer = SystemDns::new().query("localhost", Kind::Address).await.expect("always there");
    let loopback = |record: &Record| matches!(record, Record::Address(ip) if IpAddr::is_loopback(ip));
    assert!(!answer.records.is_empty() && answer.records.iter().all(loopback), "{answer:?}");
}
