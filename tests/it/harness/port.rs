//! A port for a server that starts later.

use tokio::net::TcpSocket;

/// A port of this machine that nobody else is given for as long as this lives: no listener and no connection that leaves the
/// choice to the kernel. Whoever asks for this very port, and shares addresses as servers do (`SO_REUSEADDR`), may listen on it,
/// and again after a restart. A port that was only looked up is another one's by the time the server has made its files.
pub struct Port {
    /// Bound, and never listening.
    _held: TcpSocket,
    pub number: u16,
}

impl Port {
    pub fn reserve() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let number = held.local_addr().unwrap().port();
        Self { _held: held, number }
    }
}

#[test]
fn a_reserved_port_is_nobodys_but_the_servers() {
    use std::net::{TcpListener, TcpStream};

    let ports: Vec<Port> = (0..200).map(|_| Port::reserve()).collect();
    let is_reserved = |number: u16| ports.iter().any(|port| port.number == number);
    let server = TcpListener::bind(("127.0.0.1", ports[0].number)).unwrap();
    for _ in 0..5_000 {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_reserved(other.local_addr().unwrap().port()));
    }
    for _ in 0..500 {
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        assert!(!is_reserved(client.local_addr().unwrap().port()));
        server.accept().unwrap();
    }
}
