//! What the control API costs, with ten thousand calls and a hundred thousand messages stored: pages as rows grow, reads, and the
//! placing of calls that are queued. A gateway with scripted models and the load (`wrk`) share this machine.

mod wrk;

use std::collections::HashMap;
use std::error::Error;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use models::fake::{FakeGenerator, FakeSynthesizer, FakeTranscriber};
use offhook::app::{Appliance, Minds, Premises};
use offhook::config::Config;
use offhook::domain::{
    Call, CallId, Direction, EndReason, Event, EventKind, Fragment, Message, MessageId, Private, Speaker,
};
use offhook::store::{Entry, Record, Store};
use serde_json::{Value, json};

use wrk::Load;

const NUMBER: &str = "+15550100001";
/// Messages at each measurement of pages; a tenth as many calls.
const ROWS: [usize; 3] = [1_000, 10_000, 100_000];
/// Pages of each kind that are timed.
const PAGES: usize = 300;
/// Records written in one transaction while the folder is filled.
const BATCH: usize = 1_000;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run())?;
    // Thousands of calls wait to be dialled; nobody needs their end.
    std::process::exit(0)
}

async fn run() -> Result<(), Failure> {
    let data = tempfile::tempdir()?;
    // A telephone that never answers, so that what is placed waits.
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    println!("{:<34} {:>8} {:>8} {:>8}", "ms per page of 50", "p50", "p99", "max");
    let (mut pages, mut filled) = (Vec::new(), 0);
    for rows in ROWS {
        let (path, from) = (data.path().to_owned(), filled);
        let start = Instant::now();
        tokio::task::spawn_blocking(move || fill(&path, from, rows)).await??;
        eprintln!(
            "{} messages and {} calls written in {:.1?}",
            rows - from,
            (rows - from) / 10,
            start.elapsed()
        );
        filled = rows;
        let running = Running::start(data.path(), false).await?;
        pages.push(running.pages(rows).await?);
        running.appliance.stop().await;
    }
    let running = Running::start(data.path(), true).await?;
    let (url, key) = (&running.url, &running.key);
    let call =
        running.get("/v1/calls?limit=1").await?["items"][0]["id"].as_str().unwrap_or_default().to_owned();
    println!("\n{:<34} {:>8} {:>8} {:>8}", "32 clients", "1/s", "p50 ms", "p99 ms");
    let reads = [
        ("one call", vec![format!("/v1/calls/{call}")]),
        ("50 calls", vec!["/v1/calls?limit=50".to_owned()]),
        ("50 messages", vec!["/v1/messages?limit=50".to_owned()]),
        (
            "one call, 20 calls, 20 messages",
            vec![
                format!("/v1/calls/{call}"),
                "/v1/calls?limit=20".to_owned(),
                "/v1/messages?limit=20".to_owned(),
            ],
        ),
    ];
    let mut mixed = None;
    for (name, paths) in reads {
        let load = wrk::get(url, key, &paths, 32).await?;
        show(name, &load);
        mixed = Some(load);
    }
    let mixed = mixed.ok_or("nothing was read")?;
    let order = json!({ "from": NUMBER, "to": format!("sip:200@{}", silent.local_addr()?) });
    let placed = wrk::post(url, key, "/v1/calls", &order, 32).await?;
    show("a call is placed and queued", &placed);
    let waiting =
        running.get("/v1/calls?status=queued&limit=1").await?["items"].as_array().map_or(0, Vec::len);
    if waiting == 0 {
        return Err("no call was queued".into());
    }
    println!(
        "{}",
        json!({
            "bench": "api", "read_rps": mixed.per_second.round(), "read_p99_ms": mixed.p99_ms,
            "place_rps": placed.per_second.round(), "place_p99_ms": placed.p99_ms,
            "page_ms_1k": pages[0], "page_ms_10k": pages[1], "page_ms_100k": pages[2],
        })
    );
    Ok(())
}

fn show(name: &str, load: &Load) {
    println!("{name:<34} {:>8.0} {:>8.2} {:>8.2}", load.per_second, load.p50_ms, load.p99_ms);
}

/// A gateway that serves a folder.
struct Running {
    appliance: Appliance,
    url: String,
    key: String,
    http: reqwest::Client,
}

impl Running {
    /// `queues`: one call at once, the others wait.
    async fn start(data: &Path, queues: bool) -> Result<Self, Failure> {
        // Fails when one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = format!(
            "data = {:?}\n\
             [sip]\nlisten = '127.0.0.1:0'\n\
             [http]\nlisten = '127.0.0.1:0'\nrequests_per_minute = 0\n\
             [media]\nports = '21900-21999'\n\
             [queue]\nmax_waiting = 1000000\nmax_waiting_per_key = 1000000\n\
             [guards]\nmax_calls = {}\ncalls_per_minute = 0\ncalls_per_minute_per_key = 0\n\
             [[trunk]]\nname = 'lan'\nallow = ['127.0.0.0/8']\n\
             [[agent]]\nname = 'desk'\n\
             [[number]]\nnumber = '{NUMBER}'\nagent = 'desk'\ntrunk = 'lan'\n",
            data.display().to_string(),
            if queues { 1 } else { 20 },
        );
        let config = Config::parse(&text).map_err(|mistakes| format!("{mistakes:?}"))?;
        let premises = Premises::take(config).await?;
        let minds = Minds {
            transcriber: Arc::new(FakeTranscriber::says(["Hello?"])),
            judge: None,
            synthesizer: Arc::new(FakeSynthesizer::default()),
            generators: HashMap::from([(None, Arc::new(FakeGenerator::says(["Yes."])) as _)]),
            engines: Vec::new(),
        };
        let appliance = Appliance::start(premises, minds).await?;
        let url = format!("http://{}", appliance.http_address());
        let key = std::fs::read_to_string(data.join("admin.key"))?.trim().to_owned();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { appliance, url, key, http })
    }

    async fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// The median of the first page of messages; the others are shown.
    async fn pages(&self, rows: usize) -> Result<f64, Failure> {
        let first = self.spread(&format!("{rows} messages: the first"), "/v1/messages?limit=50").await?;
        let (mut cursor, half) = (String::new(), rows / 2 / 200);
        for _ in 0..half {
            let page = self.get(&format!("/v1/messages?limit=200{cursor}")).await?;
            cursor = format!("&cursor={}", page["next_cursor"].as_str().ok_or("the list is too short")?);
        }
        self.spread("  in the middle", &format!("/v1/messages?limit=50{cursor}")).await?;
        self.spread("  of one number", &format!("/v1/messages?limit=50&number=%2B{}", &NUMBER[1..])).await?;
        self.spread(&format!("{} calls: the first", rows / 10), "/v1/calls?limit=50").await?;
        self.spread("  inbound and completed", "/v1/calls?limit=50&direction=inbound&status=completed")
            .await?;
        Ok(first)
    }

    async fn spread(&self, name: &str, path: &str) -> Result<f64, Failure> {
        let mut took = Vec::with_capacity(PAGES);
        for _ in 0..PAGES {
            let start = Instant::now();
            let page = self.get(path).await?;
            took.push(start.elapsed());
            if page["items"].as_array().is_none_or(|items| items.len() != 50) {
                return Err(format!("{path} brought {page}").into());
            }
        }
        took.sort_unstable();
        let ms = |time: Duration| (time.as_secs_f64() * 1e5).round() / 100.0;
        let (p50, p99) = (ms(took[PAGES / 2]), ms(took[PAGES * 99 / 100]));
        println!("{name:<34} {p50:>8.2} {p99:>8.2} {:>8.2}", ms(took[PAGES - 1]));
        Ok(p50)
    }
}

/// Messages and a tenth as many calls, as they are when they are over.
fn fill(data: &Path, from: usize, to: usize) -> Result<(), Failure> {
    let store = Store::open(data)?;
    let mut entries = Vec::with_capacity(BATCH + BATCH / 10);
    for n in from..to {
        entries.push(message(n)?);
        if n % 10 == 0 {
            entries.push(call(n));
        }
        if entries.len() >= BATCH {
            store.record(&entries)?;
            entries.clear();
        }
    }
    Ok(store.record(&entries)?)
}

/// The time and the random part of row `n`.
fn row(n: usize) -> (DateTime<Utc>, [u8; 10]) {
    let at = DateTime::UNIX_EPOCH + chrono::Duration::seconds(1_790_000_000 + n as i64);
    let mut id = [0; 10];
    // Not in the order of the times, as random ids are not.
    id[..8].copy_from_slice(&(n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    (at, id)
}

fn message(n: usize) -> Result<Entry, Failure> {
    let (at, id) = row(n);
    let message: Message = serde_json::from_value(json!({
        "id": MessageId::from_random(id), "number": NUMBER, "direction": "inbound", "status": "received",
        "from": format!("+1415555{:04}", n % 1000), "to": NUMBER, "content_type": "text/plain;charset=utf-8",
        "text": "Do you have time on Thursday afternoon, about three?", "trunk": "lan", "in_call": null, "created_at": at,
        "settled_at": null, "tries": 0, "sip_status": null, "reason": null,
    }))?;
    let kind = EventKind::of_message(&message).ok_or("a message without an event")?;
    let events = vec![Event::of_message(&message, 1, at, kind)];
    Ok(Entry { record: Record::Message(Box::new(message)), events })
}

fn call(n: usize) -> Entry {
    let (at, id) = row(n);
    let contact = format!("+1415555{:04}", n % 1000);
    let mut call = Call::new(CallId::from_random(id), Direction::Inbound, contact, NUMBER.into(), at);
    call.agent = "desk".into();
    call.trunk = "lan".into();
    call.answered_at = Some(at);
    for turn in 0..12 {
        let speaker = if turn % 2 == 0 { Speaker::Agent } else { Speaker::Caller };
        let text = Private::new("We are open from nine to five, and on Saturday until noon.".to_owned());
        call.transcript.push(Fragment { speaker, text, at_ms: turn * 4_000, interrupted: false });
    }
    let started = EventKind::started(&call);
    call.end(EndReason::CallerHungUp, None, at + chrono::Duration::seconds(48));
    let kinds = [started, EventKind::ended(&call, EndReason::CallerHungUp)];
    let events = (1..).zip(kinds).map(|(seq, kind)| Event::of_call(&call, seq, at, kind)).collect();
    Entry { record: Record::Call(Box::new(call)), events }
}
