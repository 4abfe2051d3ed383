//! Accepts connections: no more at a time than allowed, without Nagle's delay, and calmly when descriptors run out.
//!
//! poem's own acceptor does none of this, and when the process has no descriptor left it spins at full speed.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use poem::{
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Pause after a failed accept: time for a descriptor to be closed.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest time for taking in who waits at the door when the service leaves.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Accepts TCP connections up to a limit.
pub struct BoundedAcceptor {
    listener: TcpListener,
    local: LocalAddr,
    free: Arc<Semaphore>,
    door: Door,
}

/// Tells whether somebody waits to be accepted.
#[derive(Clone, Debug, Default)]
pub struct Door {
    nobody_waits: Arc<AtomicBool>,
}

impl Door {
    /// Resolves when nobody waits to be accepted, or after a second. Connections that the kernel has made already would be
    /// reset if the listener closed on them.
    pub async fn emptied(&self) {
        self.nobody_waits.store(false, Ordering::Relaxed);
        let empty = async {
            while !self.nobody_waits.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
        };
        let _ = tokio::time::timeout(LAST_CALL, empty).await;
    }
}

impl BoundedAcceptor {
    /// Accepts at most `max_connections` at a time; more wait in the kernel's queue.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(listener: TcpListener, max_connections: usize) -> io::Result<Self> {
        let local = LocalAddr(listener.local_addr()?.into());
        Ok(Self {
            listener,
            local,
            free: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))),
            door: Door::default(),
        })
    }
}

impl BoundedAcceptor {
    /// A look at the door, for whoever closes it.
    #[must_use]
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| {
            let accepted = self.listener.poll_accept(cx);
            self.door.nobody_waits.store(accepted.is_pending(), Ordering::Relaxed);
            accepted
        })
        .await
    }
}

impl Acceptor for BoundedAcceptor {
    type Io = BoundedStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![self.local.clone()]
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)?;
        loop {
            match self.next().await {
                Ok((stream, remote)) => {
                    // A connection that is gone already cannot be told; it ends on its own.
                    let _ = stream.set_nodelay(true);
                    let stream = BoundedStream {
                        stream,
                        _permit: permit,
                    };
                    return Ok((stream, self.local.clone(), RemoteAddr(remote.into()), Scheme::HTTP));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// A connection that gives its place back when it ends.
pub struct BoundedStream {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for BoundedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
