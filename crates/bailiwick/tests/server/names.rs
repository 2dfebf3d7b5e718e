//! A name server for the tests, in which no name exists: no question leaves this machine.

use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;

/// Where it answers.
pub(crate) fn server() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        std::thread::spawn(move || answer(&socket));
        at
    })
}

fn answer(socket: &UdpSocket) {
    let mut octets = [0; 1500];
    while let Ok((count, asker)) = socket.recv_from(&mut octets) {
        let Some(reply) = no_such_name(&octets[..count]) else { continue };
        socket.send_to(&reply, asker).unwrap();
    }
}

/// RFC 1035 §4.1.1: the question again, as an answer with RCODE 3.
fn no_such_name(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(12..)?.iter().position(|octet| *octet == 0)?;
    let mut reply = question.get(..12 + name + 5)?.to_vec();
    reply[2] = 0x84 | (reply[2] & 0x01);
    reply[3] = 0x83;
    reply[6..12].fill(0);
    Some(reply)
}
