//! Ports for programs that take one by number, when whoever asked for it has let it go again.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// The first of `count` ports in a row that are free on `ip`, for UDP and for TCP.
///
/// They lie below those that the kernel gives to whoever asks for any (32768 and up), and nobody else of this process is
/// given them: between this answer and the program's start no connection of another test takes one.
pub fn free_ports(ip: IpAddr, count: u16) -> u16 {
    const FIRST: u16 = 10_000;
    const ALL: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs on one machine begin apart.
    let run = (std::process::id() % 100) as u16 * 200;
    for _ in 0..ALL / count {
        let first = FIRST + (run + NEXT.fetch_add(count, Ordering::Relaxed)) % ALL;
        let free = |port| UdpSocket::bind((ip, port)).is_ok() && TcpListener::bind((ip, port)).is_ok();
        if (first..first + count).all(free) {
            return first;
        }
    }
    panic!("no {count} ports in a row of {ip} are free");
}
