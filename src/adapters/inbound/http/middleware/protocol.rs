//! What HTTP demands of a request and hyper leaves to the service: that it names its host (RFC 9112 §3.2), and that its body is in
//! no coding that nobody undoes here (RFC 9110 §8.4).

use futures_util::future::{Either, ready};
use poem::{
    Endpoint, Request, Response,
    http::{StatusCode, Version, header},
};

use crate::adapters::inbound::http::problem::Problem;

pub(super) struct Conforming<E> {
    pub(super) inner: E,
}

impl<E: Endpoint<Output = Response>> Endpoint for Conforming<E> {
    type Output = Response;

    fn call(&self, request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        match refusal(&request) {
            Some(problem) => Either::Left(ready(Err(problem.into()))),
            None => Either::Right(self.inner.call(request)),
        }
    }
}

fn refusal(request: &Request) -> Option<Problem> {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        let detail = "a request names its host, once";
        return Some(Problem::new(StatusCode::BAD_REQUEST, "host_missing", detail));
    }
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "the body's content encoding is not known here; send it as it is";
        return Some(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        ));
    }
    None
}
