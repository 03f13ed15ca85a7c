//! A folder and addresses that belong to one test alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use crate::ports;

/// A folder that is removed with its test, unless the test failed: then it stays and is named.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("offhook-interop-{}-{count}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, text).expect("the temporary folder is writable");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the peers left is kept in {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The machine's own address, where the gateway and the registrar live.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An address of 127.0.0.0/8 that nobody else of this run uses: every phone has one to itself.
pub(crate) fn own_address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(2);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    // The process id spreads two runs on one machine.
    let run = (std::process::id() % 200 + 20) as u8;
    IpAddr::V4(Ipv4Addr::new(127, run, (n / 250) as u8, (n % 250 + 2) as u8))
}

/// A port that is free for UDP and for TCP on `ip`.
pub(crate) fn free_port(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, ports::free_ports(ip, 1))
}

/// A range of ports that are free on all addresses now. The first is even.
pub(crate) fn free_ports(count: u16) -> (u16, u16) {
    let first = ports::free_ports(Ipv4Addr::UNSPECIFIED.into(), count);
    (first, first + count - 1)
}
