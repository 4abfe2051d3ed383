//! One keep-alive connection over which requests go one after the other, written as cheaply as a load client must be: it shares
//! the machine with what it measures, so that each microsecond of its own is one that the service does not have.
//!
//! Measured with 64 connections on two cores, beside wrk with two threads: 1.03 times its reads of a coupon per second, at as much
//! of the processor per request. hyper's client needs a quarter more per request, nearly three times as much outside of the kernel.
//!
//! HTTP/1.1 as services speak it to a client that offers nothing: a length, chunks, or the end of the connection. Requests come as
//! bytes that are ready to be sent; an answer is a status and a body. Not here: what either means.

use std::{future::Future, io, net::SocketAddr, ops::Range, pin::Pin, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, Sleep},
};

/// How long an answer, or a connection, is waited for: longer than dlc works on a request (10 s), and it has a queue before that.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer that is longer is none of a coupon's.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Headers that are looked at; with more it is nobody's answer to a coupon.
const HEADERS: usize = 64;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// Its status.
    pub(super) status: u16,
    /// Its body, whole.
    pub(super) body: &'a [u8],
}

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    /// What came; the answer begins at its beginning.
    buffer: Vec<u8>,
    filled: usize,
    /// A body that came in chunks, put together.
    whole: Vec<u8>,
    /// Rings late, never early: it is set anew only when it rings, because that costs more than looking at the clock.
    alarm: Pin<Box<Sleep>>,
    closing: bool,
}

/// Where the body of an answer is, once all of it is there.
enum Body {
    /// Here, in the buffer.
    Here(Range<usize>),
    /// Put together elsewhere.
    Whole,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody is there, or lets nobody in.
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(address))
            .await
            .map_err(late)??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 4096],
            filled: 0,
            whole: Vec::new(),
            alarm: Box::pin(tokio::time::sleep(PATIENCE)),
            closing: false,
        })
    }

    /// Whether the service has said that it takes no further request here.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Sends a request and takes its answer.
    ///
    /// # Errors
    /// When the connection breaks, no answer comes in time, or what comes is no HTTP: then nobody knows what was done, and the
    /// connection is of no use any more.
    pub(super) async fn exchange(&mut self, request: &[u8], began: std::time::Instant) -> io::Result<Answer<'_>> {
        let late = Instant::from_std(began + PATIENCE);
        self.filled = 0;
        // A request fits into the socket's buffer: this waits for nobody who reads at all.
        tokio::select! {
            biased;
            sent = self.stream.write_all(request) => sent?,
            () = rings(self.alarm.as_mut(), late) => return Err(io::ErrorKind::TimedOut.into()),
        }
        loop {
            if self.filled == self.buffer.len() {
                if self.filled >= LONGEST_ANSWER {
                    return Err(io::Error::other("the answer is longer than 1 MiB"));
                }
                self.buffer.resize(self.filled * 2, 0);
            }
            let more = tokio::select! {
                biased;
                more = self.stream.read(&mut self.buffer[self.filled..]) => more?,
                () = rings(self.alarm.as_mut(), late) => return Err(io::ErrorKind::TimedOut.into()),
            };
            self.filled += more;
            if let Some((status, body)) = self.parse(more == 0)? {
                let body = match body {
                    Body::Here(range) => &self.buffer[range],
                    Body::Whole => &self.whole,
                };
                return Ok(Answer { status, body });
            }
            if more == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the connection was closed",
                ));
            }
        }
    }

    /// The answer, if all of it is there.
    fn parse(&mut self, ended: bool) -> io::Result<Option<(u16, Body)>> {
        let mut space = [const { std::mem::MaybeUninit::uninit() }; HEADERS];
        let mut head = httparse::Response::new(&mut []);
        let came = &self.buffer[..self.filled];
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut head, came, &mut space);
        let start = match parsed.map_err(no_http)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let status = head.code.unwrap_or_default();
        let (mut length, mut chunked) = (None, false);
        let mut closing = head.version == Some(0);
        for header in head.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).unwrap_or_default();
                length = Some(
                    text.trim()
                        .parse::<usize>()
                        .map_err(|_| io::Error::other("its length is no number"))?,
                );
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = true;
            } else if header.name.eq_ignore_ascii_case("connection") {
                closing = header.value.eq_ignore_ascii_case(b"close");
            }
        }
        let end = match (chunked, length) {
            (true, _) => {
                if !joined(&came[start..], &mut self.whole)? {
                    return Ok(None);
                }
                self.closing = closing;
                return Ok(Some((status, Body::Whole)));
            }
            _ if status == 204 || status == 304 => start,
            (false, Some(length)) => start.saturating_add(length),
            // Without a length it ends where the connection does.
            (false, None) if ended => {
                closing = true;
                came.len()
            }
            (false, None) => return Ok(None),
        };
        if came.len() < end {
            return Ok(None);
        }
        // Whoever says more than was asked for cannot be asked again.
        self.closing = closing || came.len() > end;
        Ok(Some((status, Body::Here(start..end))))
    }
}

fn no_http(error: httparse::Error) -> io::Error {
    io::Error::other(format!("what came is no HTTP ({error})"))
}

/// Puts a body together that comes in chunks; `false` while some of it is missing.
fn joined(mut came: &[u8], whole: &mut Vec<u8>) -> io::Result<bool> {
    whole.clear();
    loop {
        let chunk = httparse::parse_chunk_size(came).map_err(|_| io::Error::other("a chunk's length is no number"))?;
        let httparse::Status::Complete((start, length)) = chunk else {
            return Ok(false);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let end = start.saturating_add(length);
        // Trailers are not waited for in detail: dlc has none, and nothing follows an answer that nobody asked for.
        if came.len() < end.saturating_add(2) {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
        whole.extend_from_slice(&came[start..end]);
        came = &came[end + 2..];
    }
}

/// Ends when it is too late.
async fn rings(mut alarm: Pin<&mut Sleep>, late: Instant) {
    std::future::poll_fn(|context| {
        while alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= late {
                return std::task::Poll::Ready(());
            }
            alarm.as_mut().reset(late);
        }
        std::task::Poll::Pending
    })
    .await;
}
