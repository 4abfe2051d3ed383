//! Serves connections: no more at a time than allowed, and none for longer than it is used. hyper speaks the protocol, poem's
//! endpoints answer. What lies below HTTP is a [`Transport`]: nothing here, or `tls`.
//!
//! poem's own server gives no connection a time limit, closes on clients whose next request is under way, and spins at full
//! speed when the process has no descriptor left. Not here: what a request may cost (`middleware`), when to leave (`bootstrap`).

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::combinators::BoxBody;
use hyper::{
    Version,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use poem::{
    Endpoint, Response,
    http::{HeaderValue, header, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::refusals::Worded;

/// Pause after a failed accept: time for a descriptor to be closed.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection without a request stays when the service leaves: its next request may be on its way.
const LINGER: Duration = Duration::from_secs(1);

/// How long whoever has begun to come in is waited for when the service leaves: longer than a packet takes around the world and back.
const CLOSING: Duration = Duration::from_millis(300);

/// How long a connection may be without any progress when the service leaves: longer than it takes a network to send a lost packet
/// again, which TCP does after a second at first (RFC 6298, 2.1).
const LEAVING: Duration = Duration::from_secs(3);

/// Smallest write in bytes that counts as something of an answer on a connection of HTTP/2: below are acknowledgements, by which
/// a client that takes nothing could stay for ever.
const FRAME: usize = 64;

/// Largest head of a request in bytes: request line and headers. Above it the answer is 431.
const MAX_HEAD: usize = 64 * 1024;

/// Most requests at a time on one connection of HTTP/2.
const MAX_STREAMS: u32 = 128;

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Most connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Longest wait for the head of a request, on a connection that is idle too, and for a client that takes nothing of its
    /// answer. It is looked at twice in that time, so it can be half as much more.
    pub header_timeout: Duration,
}

/// What lies between TCP and HTTP. A type rather than a case, so that plain HTTP pays nothing for what it does not use.
pub trait Transport: Send + Sync + 'static {
    /// What HTTP is spoken on.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What a request's URL begins with.
    const SCHEME: Scheme;
    /// Comes to the point where HTTP begins, and whether that is HTTP/2.
    fn open(&self, stream: TcpStream) -> impl Future<Output = io::Result<(Self::Stream, bool)>> + Send;
}

/// HTTP right on TCP.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Transport for Plain {
    type Stream = TcpStream;
    const SCHEME: Scheme = Scheme::HTTP;

    async fn open(&self, stream: TcpStream) -> io::Result<(TcpStream, bool)> {
        let is_http2 = speaks_http2(&stream).await?;
        Ok((stream, is_http2))
    }
}

/// Serves until `stop`, and then until the last connection has ended. Dropping it ends all of them at once.
pub async fn serve<E, T>(
    listener: TcpListener,
    endpoint: E,
    transport: T,
    limits: ConnectionLimits,
    stop: CancellationToken,
) where
    E: Endpoint<Output = Response> + 'static,
    T: Transport,
{
    let serving = Arc::new(Serving {
        endpoint,
        transport,
        stop,
    });
    let stop = &serving.stop;
    let free = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let open = |connections: &mut JoinSet<()>, (stream, remote): (TcpStream, SocketAddr), permit| {
        let serving = Arc::clone(&serving);
        connections.spawn(async move {
            if let Err(error) = connection(stream, remote, &serving, limits).await {
                // A client that goes away, or never says anything, is nobody's trouble.
                tracing::debug!(%remote, error, "a connection ended early");
            }
            drop(permit);
        });
    };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = async {
                let permit = Arc::clone(&free).acquire_owned().await;
                (listener.accept().await, permit)
            } => accepted,
        };
        match accepted {
            (Ok(accepted), Ok(permit)) => open(&mut connections, accepted, Some(permit)),
            (Err(error), _) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
            (_, Err(_)) => break,
        }
    }
    // Whoever has begun to come in is let in: the kernel would reset connections that it has made. Nobody else comes between the last
    // look and the end.
    turn_away(&listener);
    let closing = tokio::time::sleep(CLOSING);
    let mut closing = pin!(closing);
    loop {
        tokio::select! {
            () = closing.as_mut() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => open(&mut connections, accepted, None),
                // As above: no descriptor, or whoever came has gone again.
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
    for accepted in at_the_door(listener) {
        open(&mut connections, accepted, None);
    }
    while connections.join_next().await.is_some() {}
}

/// Has the kernel answer nobody who asks for a connection: they ask again, and are refused then. Whoever it has answered already
/// gets the connection: they believe to have it, and may have sent a request.
#[cfg(target_os = "linux")]
fn turn_away(listener: &TcpListener) {
    // Each packet that comes for the listener begins with TCP's header here (RFC 9293, 3.1). Its connections are sockets of their own.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let drop_first_ones = [
        socket2::SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        socket2::SockFilter::new(AND, 0, 0, SYN | ACK),
        socket2::SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        socket2::SockFilter::new(RETURN, 0, 0, 0),
        socket2::SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    if let Err(error) = socket2::SockRef::from(listener).attach_filter(&drop_first_ones) {
        tracing::debug!(%error, "connections are made until the listener is closed");
    }
}

#[cfg(not(target_os = "linux"))]
fn turn_away(_listener: &TcpListener) {}

/// The connections that the kernel has made. It is asked itself: tokio's listener knows only of those it has been told of.
fn at_the_door(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else {
        return Vec::new();
    };
    let accept = || -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, remote) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok((TcpStream::from_std(stream)?, remote))
    };
    let mut accepted = Vec::new();
    loop {
        match accept() {
            Ok(connection) => accepted.push(connection),
            // It went away again; others may stand behind it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => return accepted,
        }
    }
}

/// What all connections share.
struct Serving<E, T> {
    endpoint: E,
    transport: T,
    stop: CancellationToken,
}

/// One connection, and what has happened on it.
struct Connection<E, T> {
    serving: Arc<Serving<E, T>>,
    local: SocketAddr,
    remote: SocketAddr,
    /// Requests that are being handled.
    requests: AtomicUsize,
    progress: Arc<Progress>,
}

/// A request that is being handled, until it is answered or its client takes it back.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(requests: &'a AtomicUsize) -> Self {
        requests.fetch_add(1, Ordering::Relaxed);
        Self(requests)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts what a client cannot do without end: requests begun, and parts of answers taken. One clock per connection looks at
/// it now and then; a timer per request would cost more than all the rest of a small one.
#[derive(Debug, Default)]
struct Progress(AtomicUsize);

impl Progress {
    fn made(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<E: Endpoint<Output = Response> + 'static, T: Transport> Connection<E, T> {
    /// What a request becomes. It is put into the endpoints' shape before the future begins, which would keep it twice.
    fn answer(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> impl Future<Output = Result<hyper::Response<BoxBody<Bytes, io::Error>>, Infallible>> + Send {
        self.progress.made();
        let is_http2 = request.version() == Version::HTTP_2;
        let addresses = (LocalAddr(self.local.into()), RemoteAddr(self.remote.into()));
        let request = poem::Request::from((request, addresses.0, addresses.1, T::SCHEME));
        async move {
            let _busy = Busy::new(&self.requests);
            // The outermost layer makes a response of every error.
            let mut response = match self.serving.endpoint.call(request).await {
                Ok(response) => response,
                Err(error) => error.into_response(),
            };
            if self.serving.stop.is_cancelled() && !is_http2 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok(response.into())
        }
    }

    /// Has a task of its own watch over clock and stop: they would be looked at with each request otherwise.
    fn ending(self: &Arc<Self>, is_http2: bool, limit: Duration) -> Watched {
        let (tell, told) = oneshot::channel();
        let connection = Arc::clone(self);
        let watching = tokio::spawn(async move {
            let stop = &connection.serving.stop;
            let ending = tokio::select! {
                () = connection.idle(limit) => Ending::Idle,
                () = async { if is_http2 { stop.cancelled().await } else { lingered(stop).await } } => Ending::Leaving,
            };
            let _ = tell.send(ending);
        });
        let watching = watching.abort_handle();
        Watched { told, watching }
    }

    /// Resolves when nothing happens any more.
    async fn idle(&self, limit: Duration) {
        let mut seen = self.progress.0.load(Ordering::Relaxed);
        let mut looks = 0;
        while looks < 2 {
            tokio::time::sleep(limit / 2).await;
            let now = self.progress.0.load(Ordering::Relaxed);
            // A request that is handled has a limit of its own.
            let is_busy = now != seen || self.requests.load(Ordering::Relaxed) > 0;
            looks = if is_busy { 0 } else { looks + 1 };
            seen = now;
        }
    }
}

async fn connection<E, T>(
    stream: TcpStream,
    remote: SocketAddr,
    serving: &Arc<Serving<E, T>>,
    limits: ConnectionLimits,
) -> Result<(), String>
where
    E: Endpoint<Output = Response> + 'static,
    T: Transport,
{
    let stop = &serving.stop;
    // A connection that is gone already cannot be told; it ends on its own.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().map_err(|error| error.to_string())?;
    let (stream, is_http2) = tokio::select! {
        () = lingered(stop) => return Ok(()),
        opened = timeout(limits.header_timeout, serving.transport.open(stream)) => match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("it said nothing, or too little".to_owned()),
        },
    };
    let progress = Arc::new(Progress::default());
    let stream = Stream {
        inner: stream,
        progress: Arc::clone(&progress),
        least: if is_http2 { FRAME } else { 1 },
    };
    let shared = Arc::new(Connection {
        serving: Arc::clone(serving),
        local,
        remote,
        requests: AtomicUsize::new(0),
        progress,
    });
    let service = service_fn(|request| Arc::clone(&shared).answer(request));
    let builder = protocol(is_http2);
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(Worded::new(stream, T::SCHEME == Scheme::HTTPS)), service));
    let ended =
        |result: Result<(), Box<dyn std::error::Error + Send + Sync>>| result.map_err(|error| error.to_string());
    let mut ending = shared.ending(is_http2, limits.header_timeout);
    let why = tokio::select! {
        biased;
        result = connection.as_mut() => return ended(result),
        why = &mut ending.told => why,
    };
    if why == Ok(Ending::Idle) {
        return Err("nothing happened on it any more".to_owned());
    }
    connection.as_mut().graceful_shutdown();
    // An answer that is being taken, however slowly, is taken whole; half a request is not waited for.
    tokio::select! {
        result = connection => ended(result),
        () = shared.idle(LEAVING) => Err("nothing happened on it any more".to_owned()),
    }
}

/// Why a connection is to end before its client ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Idle,
    Leaving,
}

/// Whoever watches a connection, until it is over.
struct Watched {
    told: oneshot::Receiver<Ending>,
    watching: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// A stream that notes when something of an answer was taken.
struct Stream<S> {
    inner: S,
    progress: Arc<Progress>,
    /// Fewest bytes that are something.
    least: usize,
}

impl<S> Stream<S> {
    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(bytes)) if bytes >= self.least) {
            self.progress.made();
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A while after the service began to leave.
async fn lingered(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LINGER).await;
}

fn protocol(is_http2: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None).max_buf_size(MAX_HEAD);
    builder
        .http2()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    if is_http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    }
}

/// Whether the client begins with the words that begin HTTP/2 (RFC 9113, 3.4). hyper would wait for them without a limit.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut said = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut said).await?;
        if length == 0 || said[..length] != PREFACE[..length] {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        // There is no waiting for more than what is there already.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use socket2::{Domain, SockFilter, Socket, Type};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// More than a lost packet of a handshake costs.
    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn whoever_has_been_answered_gets_in_and_whoever_asks_then_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        // It does not hear the server's answer, which is sent again after a second.
        client.attach_filter(&[SockFilter::new(0x06, 0, 0, 0)]).unwrap();
        let _ = client.connect(&address.into());
        // Until the kernel has answered: state 3 is SYN_RECV.
        let begun = format!(": 0100007F:{:04X} ", address.port());
        let is_begun = |line: &str| line.contains(&begun) && line.contains(" 03 ");
        while !std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(is_begun) {
            tokio::task::yield_now().await;
        }
        turn_away(&listener);
        client.detach_filter().unwrap();
        let stranger = tokio::spawn(TcpStream::connect(address));
        let (mut inside, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        let mut came = TcpStream::from_std(client.into()).unwrap();
        came.write_all(b"here").await.unwrap();
        let mut said = [0; 4];
        inside.read_exact(&mut said).await.unwrap();
        assert_eq!(inside.peer_addr().unwrap(), came.local_addr().unwrap());
        assert!(!stranger.is_finished(), "nobody answers");
        stranger.abort();
    }
}
