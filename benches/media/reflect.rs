//! The floor: a process that sends every packet back to where it came from, and does nothing else. One thread, one poll.

use std::error::Error;
use std::io::Write;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

pub(crate) fn run(first_port: u16, count: usize) -> Result<(), Box<dyn Error>> {
    let mut poll = Poll::new()?;
    let mut sockets = Vec::with_capacity(count);
    for index in 0..count {
        let mut socket = UdpSocket::bind(([127, 0, 0, 1], first_port + 2 * index as u16).into())?;
        poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
        sockets.push(socket);
    }
    println!("ready");
    std::io::stdout().flush()?;
    let mut events = Events::with_capacity(1_024);
    let mut buffer = [0; 2_048];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let socket = &sockets[event.token().0];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                socket.send_to(&buffer[..length], from)?;
            }
        }
    }
}
