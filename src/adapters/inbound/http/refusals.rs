//! What hyper refuses by itself on HTTP/1, a head that is no HTTP or too large, leaves as problem+json, too. (HTTP/2 has frames
//! for that, and a bare 431 for a head that is too large.)
//!
//! hyper answers such a head with a status and nothing else, before any endpoint hears of it, and has no place to say more. So
//! its words are recognised on their way out, to the letter and as the whole of what is written, and longer ones go in their
//! place. Nothing else can be mistaken for them: every other answer carries a request id, and no body holds a bare line break.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use poem::http::StatusCode;
use poem_openapi::types::ToJSON;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use uuid::Uuid;

use super::problem::Problem;

/// A connection whose bare refusals are put into words.
pub(super) struct Worded<S> {
    inner: S,
    is_encrypted: bool,
    /// Words that stand for others, and how many of them are written.
    instead: Option<(Vec<u8>, usize)>,
}

impl<S> Worded<S> {
    pub(super) fn new(inner: S, is_encrypted: bool) -> Self {
        Self {
            inner,
            is_encrypted,
            instead: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Worded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Worded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none() {
            this.instead = refused(bytes).map(|status| (worded(status, this.is_encrypted), 0));
        }
        let Some((words, written)) = &mut this.instead else {
            return Pin::new(&mut this.inner).poll_write(cx, bytes);
        };
        while *written < words.len() {
            match ready!(Pin::new(&mut this.inner).poll_write(cx, &words[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *written += more,
            }
        }
        this.instead = None;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [one] => self.poll_write(cx, one),
            several => Pin::new(&mut self.inner).poll_write_vectored(cx, several),
        }
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

/// The status, if this is all of one of hyper's refusals.
fn refused(bytes: &[u8]) -> Option<StatusCode> {
    const LONGEST: usize = 200;
    // Every answer that is sent passes here: most of them are told apart by their first bytes.
    let rest = bytes.strip_prefix(b"HTTP/1.1 4").filter(|rest| rest.len() < LONGEST)?;
    let mut lines = std::str::from_utf8(rest).ok()?.split("\r\n");
    let status = StatusCode::from_bytes(format!("4{}", lines.next()?.get(..2)?).as_bytes()).ok()?;
    let is_theirs = lines.next() == Some("connection: close")
        && lines.next() == Some("content-length: 0")
        && lines.next().is_some_and(|line| line.starts_with("date: "))
        && (lines.next(), lines.next(), lines.next()) == (Some(""), Some(""), None);
    is_theirs.then_some(status)
}

fn worded(status: StatusCode, is_encrypted: bool) -> Vec<u8> {
    let (code, detail) = match status {
        StatusCode::URI_TOO_LONG => ("uri_too_long", "the request's target is too long"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "headers_too_large",
            "the request's headers are too many, or larger than this service accepts",
        ),
        _ => ("malformed_request", "this is not a request of HTTP"),
    };
    let id = Uuid::now_v7().simple().to_string();
    tracing::debug!(status = status.as_u16(), code, request_id = id, "request refused");
    let body = Problem::new(status, code, detail).into_body("", &id).to_json_string();
    let reason = status.canonical_reason().unwrap_or_default();
    let encrypted_only = if is_encrypted {
        "strict-transport-security: max-age=31536000\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nx-request-id: {id}\r\n{encrypted_only}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        status.as_u16(),
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                          date: Sat, 21 Nov 2026 15:45:17 GMT\r\n\r\n";

    #[test]
    fn only_a_bare_refusal_is_one() {
        assert_eq!(
            refused(THEIRS.as_bytes()),
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        );
        let others = [
            THEIRS.replace("connection: close", "x-request-id: 1"),
            THEIRS.replace("length: 0", "length: 2") + "{}",
            format!("{THEIRS}x"),
            THEIRS.replace("431", "200"),
            THEIRS[..40].to_owned(),
        ];
        for other in others {
            assert_eq!(refused(other.as_bytes()), None, "{other}");
        }
    }
}
