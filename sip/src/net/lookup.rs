//! Questions to DNS that the stack asks by itself: the way to where a 3xx leads, and the address of the STUN server.
//!
//! Each is a task, and its answer comes back like a packet. Calls bound their number.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::driver::Input;
use super::local::Locals;
use super::resolve::{self, Dns, Kind, Record};
use super::stun::StunConfig;
use crate::config::Path;
use crate::event::LegId;
use crate::message::Uri;
use crate::random::Random;

/// By what the stack finds others, and itself.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) dns: Arc<dyn Dns>,
    pub(super) locals: Arc<Locals>,
    /// Chance between servers of equal priority.
    pub(super) chance: Arc<Random>,
    pub(super) stun: Option<StunConfig>,
}

#[derive(Debug)]
pub(super) struct Lookups {
    map: Map,
    asked: u64,
    inbox: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
}

/// A way, and by what name the far end is known.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) path: Path,
    pub(super) name: Option<String>,
}

impl Lookups {
    pub(super) fn new(map: Map, inbox: mpsc::Sender<Input>) -> Self {
        Self { map, asked: 0, inbox, tasks: JoinSet::new() }
    }

    /// The first server of a URI: RFC 3263.
    pub(super) fn find_way(&mut self, leg: LegId, to: Uri) {
        self.asked += 1;
        let seed = self.map.chance.keyed(&[b"lookup", &self.asked.to_be_bytes()]);
        let (dns, locals) = (Arc::clone(&self.map.dns), Arc::clone(&self.map.locals));
        self.ask(async move {
            let found = resolve::paths(&*dns, &locals, &to, seed).await.ok();
            let name = to.host().filter(|host| host.ip().is_none()).map(ToString::to_string);
            let path = found.and_then(|paths| paths.list.first().copied());
            Input::WayFound { leg, way: path.map(|path| Way { path, name }) }
        });
    }

    /// Addresses of a host, of whatever family.
    pub(super) fn find_host(&mut self, host: String, port: u16) {
        let dns = Arc::clone(&self.map.dns);
        self.ask(async move {
            if let Ok(ip) = host.parse::<IpAddr>() {
                return Input::StunServers(vec![SocketAddr::new(ip, port)]);
            }
            let records = dns.query(&host, Kind::Address).await.map(|answer| answer.records);
            let addresses = records.unwrap_or_default().into_iter().filter_map(|record| match record {
                Record::Address(ip) => Some(SocketAddr::new(ip, port)),
                _ => None,
            });
            Input::StunServers(addresses.collect())
        });
    }

    fn ask(&mut self, question: impl Future<Output = Input> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        let inbox = self.inbox.clone();
        self.tasks.spawn(async move {
            // A stack that has shut down asks nothing more.
            let _ = inbox.send(question.await).await;
        });
    }

    pub(super) async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}
