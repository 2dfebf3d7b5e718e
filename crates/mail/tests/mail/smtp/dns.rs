//! A DNS server on loopback, with as much of RFC 1035 as a resolver asks for.

use core::net::{Ipv4Addr, SocketAddr};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

#[derive(Clone)]
pub(crate) enum Data {
    Txt(String),
    Mx(u16, &'static str),
    Ptr(&'static str),
    A(Ipv4Addr),
    /// The server fails.
    Servfail,
    /// The server is silent.
    Silence,
}

impl Data {
    fn kind(&self) -> u16 {
        match self {
            Self::A(_) => 1,
            Self::Ptr(_) => 12,
            Self::Mx(..) => 15,
            Self::Txt(_) => 16,
            Self::Servfail | Self::Silence => 0,
        }
    }

    fn octets(&self) -> Vec<u8> {
        match self {
            Self::A(ip) => ip.octets().to_vec(),
            Self::Mx(preference, host) => [&preference.to_be_bytes()[..], &wire(host)].concat(),
            Self::Ptr(host) => wire(host),
            Self::Txt(text) => {
                let mut out = Vec::new();
                for piece in text.as_bytes().chunks(255) {
                    out.push(u8::try_from(piece.len()).unwrap());
                    out.extend_from_slice(piece);
                }
                out
            }
            Self::Servfail | Self::Silence => Vec::new(),
        }
    }
}

/// A name as it goes over the wire.
fn wire(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

/// The zone; changes show at once, but a resolver may remember.
#[derive(Clone, Default)]
pub(crate) struct Zone(Arc<Mutex<HashMap<String, Vec<Data>>>>);

impl Zone {
    pub(crate) fn add(&self, name: &str, data: Data) {
        self.0.lock().unwrap().entry(name.to_owned()).or_default().push(data);
    }

    /// Serves it; where to ask.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = self.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = zone.answer(&buffer[..count]) {
                    drop(socket.send_to(&answer, from).await);
                }
            }
        });
        address
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (mut at, mut labels) = (12, Vec::new());
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
        let question = query.get(12..at + 4)?;
        let name = labels.join(".");
        let zone = self.0.lock().unwrap();
        let held = zone.get(&name);
        let below = format!(".{name}");
        let exists = held.is_some() || zone.keys().any(|known| known.ends_with(&below));
        let held = held.cloned().unwrap_or_default();
        if held.iter().any(|data| matches!(data, Data::Silence)) {
            return None;
        }
        let fails = held.iter().any(|data| matches!(data, Data::Servfail));
        let found: Vec<_> = held.iter().filter(|data| data.kind() == kind).collect();
        let code = if fails { 2 } else { u16::from(!exists) * 3 };
        let mut out = query.get(..2)?.to_vec();
        let counts = [0x8180 | code, 1, u16::try_from(found.len()).ok()?, 0, 0];
        counts.iter().for_each(|count| out.extend_from_slice(&count.to_be_bytes()));
        out.extend_from_slice(question);
        for data in found {
            let octets = data.octets();
            out.extend_from_slice(&[0xc0, 12]);
            out.extend_from_slice(&data.kind().to_be_bytes());
            out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            out.extend_from_slice(&u16::try_from(octets.len()).ok()?.to_be_bytes());
            out.extend_from_slice(&octets);
        }
        Some(out)
    }
}
