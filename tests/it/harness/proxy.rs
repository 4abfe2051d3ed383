//! A TCP proxy in front of the test's PostgreSQL that can go silent, or away.

use std::sync::{Arc, Mutex};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A proxy and the connections through it.
pub struct Proxy {
    pub port: u16,
    accepting: JoinHandle<()>,
    connections: Arc<Mutex<Vec<Connection>>>,
}

struct Connection {
    copying: JoinHandle<()>,
    /// Keeps both sockets open after the copying was ended: silence, not a reset.
    sockets: Arc<(std::net::TcpStream, std::net::TcpStream)>,
}

impl Proxy {
    /// Listens on a port of its own and passes everything on to `target`.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let made = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                let (client, server) = (client.into_std().unwrap(), server.into_std().unwrap());
                let sockets = Arc::new((client.try_clone().unwrap(), server.try_clone().unwrap()));
                let copying = tokio::spawn(async move {
                    let mut client = TcpStream::from_std(client).unwrap();
                    let mut server = TcpStream::from_std(server).unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    for socket in [client, server] {
                        let _ = socket.into_std().unwrap().shutdown(std::net::Shutdown::Both);
                    }
                });
                made.lock().unwrap().push(Connection { copying, sockets });
            }
        });
        Self {
            port,
            accepting,
            connections,
        }
    }

    /// The connections so far go silent: nothing passes, nobody is told. New ones work.
    pub fn silence(&self) {
        for connection in self.connections.lock().unwrap().iter() {
            connection.copying.abort();
        }
    }

    /// Goes away: connections break, and new ones are refused.
    pub async fn vanish(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        for connection in connections {
            connection.copying.abort();
            let _ = connection.copying.await;
            for socket in [&connection.sockets.0, &connection.sockets.1] {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}
