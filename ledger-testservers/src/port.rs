//! Ports for servers.

use std::net::{Ipv4Addr, TcpListener};

use crate::Result;
use crate::name::random;

/// Answers a port of the loopback address that nobody listens on.
///
/// It lies below the range that systems take the ports of outgoing connections from: while a server is down, neither
/// another program nor a client that keeps trying to connect can come to sit on its port.
///
/// # Errors
/// If many ports in a row are taken.
pub(crate) fn free() -> Result<u16> {
    let candidates = (0..100).map(|_| 20_000 + (random() % 12_000) as u16);
    let mut free = candidates.filter(|port| is_free(*port));
    Ok(free.next().ok_or("no port is free")?)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on() {
        let port = free().unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
    }
}
