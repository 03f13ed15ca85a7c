//! A SIP server of somebody else, as bare as it can be: it refuses every call with one status.

use std::net::SocketAddr;

use sip::net::{Stack, StackConfig};
use sip::{Admission, Event};
use tokio::task::JoinHandle;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stack: Stack,
    /// Gives how many calls were refused.
    calls: JoinHandle<usize>,
}

impl Server {
    pub(crate) async fn refusing(status: u16) -> Self {
        let config =
            StackConfig { udp: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..StackConfig::default() };
        let (stack, mut events) = sip::net::bind(config).await.unwrap();
        let (address, desk) = (stack.local_addr(), stack.clone());
        let calls = tokio::spawn(async move {
            let mut calls = 0;
            while let Some(event) = events.recv().await {
                if let Event::Incoming { leg, .. } = event {
                    calls += 1;
                    let _ = desk.reject(leg, status).await;
                }
            }
            calls
        });
        Self { address, stack, calls }
    }

    /// OPTIONS get 503 from now on, or are answered again.
    pub(crate) async fn admit(&self, admission: Admission) {
        self.stack.set_admission(admission).await.unwrap();
    }

    /// Ends it; gives how many calls came.
    pub(crate) async fn stop(self) -> usize {
        self.stack.shutdown().await;
        self.calls.await.unwrap()
    }
}
