//! What HTTP demands of a request and hyper leaves to the service: that it names its host (RFC 9112 §3.2), and that its body is in
//! no coding that nobody undoes here (RFC 9110 §8.4).

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

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let headers = request.headers();
        if request.version() == Version::HTTP_11 && headers.get_all(header::HOST).iter().count() != 1 {
            let detail = "a request of HTTP/1.1 names its host, once";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "host_missing", detail).into());
        }
        let coding = headers.get(header::CONTENT_ENCODING);
        if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let detail = "the body's content encoding is not known here; send it as it is";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail).into());
        }
        self.inner.call(request).await
    }
}
