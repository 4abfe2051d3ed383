//! A TCP proxy in front of the test's PostgreSQL that can go silent, or away, and counts round trips.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// A proxy and the connections through it.
pub struct Proxy {
    pub port: u16,
    accepting: JoinHandle<()>,
    connections: Arc<Mutex<Vec<Connection>>>,
    answers: Arc<AtomicUsize>,
    delay_ms: Arc<AtomicUsize>,
    lost: Lost,
    is_dark: watch::Sender<bool>,
}

/// The word whose answer the next one to say it never gets, and whoever waits until it was said.
type Lost = Arc<Mutex<Option<(&'static str, oneshot::Sender<()>)>>>;

struct Connection {
    copying: JoinHandle<()>,
    round_trips: Arc<AtomicUsize>,
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
        let answers = Arc::new(AtomicUsize::new(usize::MAX));
        let wanted = Arc::clone(&answers);
        let delay_ms = Arc::new(AtomicUsize::new(0));
        let distance = Arc::clone(&delay_ms);
        let lost = Lost::default();
        let losing = Arc::clone(&lost);
        let (is_dark, darkness) = watch::channel(false);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                let (client, server) = (client.into_std().unwrap(), server.into_std().unwrap());
                let sockets = Arc::new((client.try_clone().unwrap(), server.try_clone().unwrap()));
                let round_trips = Arc::new(AtomicUsize::new(0));
                let counted = Arc::clone(&round_trips);
                let (wanted, distance) = (Arc::clone(&wanted), Arc::clone(&distance));
                let losing = Arc::clone(&losing);
                let mut darkness = darkness.clone();
                let copying = tokio::spawn(async move {
                    let mut client = TcpStream::from_std(client).unwrap();
                    let mut server = TcpStream::from_std(server).unwrap();
                    let _ = copy(
                        &mut client,
                        &mut server,
                        &counted,
                        [&wanted, &distance],
                        &losing,
                        &mut darkness,
                    )
                    .await;
                    for socket in [client, server] {
                        let _ = socket.into_std().unwrap().shutdown(std::net::Shutdown::Both);
                    }
                });
                made.lock().unwrap().push(Connection {
                    copying,
                    round_trips,
                    sockets,
                });
            }
        });
        Self {
            port,
            accepting,
            connections,
            answers,
            delay_ms,
            lost,
            is_dark,
        }
    }

    /// Round trips of the connection that had most of them: what a distance costs.
    pub fn most_round_trips(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        let counts = connections
            .iter()
            .map(|connection| connection.round_trips.load(Ordering::Relaxed));
        counts.max().unwrap_or_default()
    }

    /// Everything that the client says is held back for that long: a distance.
    pub fn delay(&self, ms: usize) {
        self.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// Each connection goes silent when it has passed on that many answers.
    pub fn silence_after(&self, answers: usize) {
        self.answers.store(answers, Ordering::Relaxed);
    }

    /// Passes on the next thing said with that word in it, and breaks the connection instead of passing on the answer. Returns
    /// when that has happened.
    pub async fn lose_the_answer_to(&self, word: &'static str) {
        let (said, happened) = oneshot::channel();
        *self.lost.lock().unwrap() = Some((word, said));
        happened.await.unwrap();
    }

    /// The connections so far go silent: nothing passes, nobody is told. New ones work.
    pub fn silence(&self) {
        for connection in self.connections.lock().unwrap().iter() {
            connection.copying.abort();
        }
    }

    /// Nothing passes any more, on no connection, and nobody is told: new connections are made, and nothing is heard of them.
    /// What was held back passes when it is light again, as from a network that lost packets for a while.
    pub fn darken(&self, is_dark: bool) {
        self.is_dark.send_replace(is_dark);
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

/// Passes both ways until either end is done. A round trip begins when the client speaks after the server did.
async fn copy(
    client: &mut TcpStream,
    server: &mut TcpStream,
    round_trips: &AtomicUsize,
    [answers, delay_ms]: [&AtomicUsize; 2],
    lost: &Lost,
    darkness: &mut watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (mut asked, mut answered) = ([0; 16_384], [0; 16_384]);
    let mut is_the_client_s_turn = true;
    loop {
        tokio::select! {
            length = client.read(&mut asked) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                if std::mem::take(&mut is_the_client_s_turn)
                    && round_trips.fetch_add(1, Ordering::Relaxed) >= answers.load(Ordering::Relaxed)
                {
                    std::future::pending::<()>().await;
                }
                let _ = darkness.wait_for(|is_dark| !is_dark).await;
                let delay = delay_ms.load(Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_millis(delay as u64)).await;
                server.write_all(&asked[..length]).await?;
                let is_lost = |word: &str| asked[..length].windows(word.len()).any(|said| said == word.as_bytes());
                let said = lost.lock().unwrap().take_if(|(word, _)| is_lost(word));
                if let Some((_, said)) = said {
                    // It has been carried out when there is an answer.
                    server.readable().await?;
                    let _ = said.send(());
                    return Ok(());
                }
            }
            length = server.read(&mut answered) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                is_the_client_s_turn = true;
                let _ = darkness.wait_for(|is_dark| !is_dark).await;
                client.write_all(&answered[..length]).await?;
            }
        }
    }
}
