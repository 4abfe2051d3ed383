//! The OpenAPI document and its explorer, all from the binary: nothing is fetched from the internet.
//!
//! Both are made once and kept compressed; the page is 1.6 MB of script.

use std::{collections::HashMap, sync::Arc};

use hyper::body::Bytes;
use poem::{
    Endpoint, EndpointExt, IntoEndpoint, Request, Response, Route,
    endpoint::BoxEndpoint,
    get,
    http::{Method, StatusCode, header},
};
use poem_openapi::{
    OpenApi, OpenApiService,
    registry::{MetaApi, Registry},
};

use super::{Documented, gzip, preconditions};

/// The API's name in the document.
pub(super) const TITLE: &str = "dlc";
/// The API's version in the document: the program's.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Paths of the pages, for `Allow` headers.
pub(super) const PATHS: [&str; 6] = [
    "/",
    "/docs",
    "/swagger",
    "/swagger/index.html",
    "/openapi.json",
    "/openapi.yaml",
];

const DESCRIPTION: &str = "The backend of a dance-lessons coach: people, greetings and limited coupons, over a database that it \
    tells the truth about.\n\n\
    What holds for every call:\n\n\
    - Errors are problem+json (RFC 9457); `code` tells them apart and never changes its meaning. A route that does not answer a \
    method says so by 405 and `Allow`; a path without a route is 404 `route_not_found`. What is no sound HTTP is 400 \
    `malformed_request` or `host_missing`, 414 `uri_too_long` or 431 `headers_too_large`; a body in a content coding is 415.\n\
    - Every answer carries `X-Request-Id`: the request's own (1–128 printable ASCII characters), else a new one.\n\
    - HEAD is answered like GET, without a body. Answers of 1 KiB and more are compressed for whoever takes gzip.\n\
    - Where the installation limits requests per address, answers carry `RateLimit` and `RateLimit-Policy`, and 429 \
    `rate_limited` says by `Retry-After` when to ask again.\n\
    - 503 carries `Retry-After`: the service starts, is overloaded, or has lost its database.\n\
    - `Idempotency-Key` names a creating request: once it was answered by 201, the same request does nothing for 24 hours and gets \
    the same answer with `Idempotency-Replayed: true`. A request that was refused changed nothing, and is judged anew.\n\
    - Whoever has signed in sends `Authorization: Bearer` and the access token. Without one they are nobody; with one that is not \
    good the answer is 401, and `WWW-Authenticate` says so.\n\
    - Lists come in pages: `{items, next_cursor}`, and a `Link` to the next one. A cursor is good for the list, the filter and the user \
    that it was given out for.\n\
    - Where the installation has a replica for reads, what others wrote in the last seconds may be missing from a GET, and what one \
    wrote oneself is not: an answer to a write carries `X-Dlc-Read-After`, a refusal because of what is there (404, 409, 412) too, and a \
    GET that sends the newest one is no older. Without one it misses nothing that was written through this service. A GET that has \
    nothing to see of one's own may send `0/0`.\n\
    - What can be changed has an `ETag`; a PATCH names it in `If-Match`, so that nobody's change is lost.\n\
    - Unknown fields are refused under `/api/v1`, and ignored at the literal paths.";

/// poem-openapi writes 3.0.0; what it writes is valid 3.0.3, which is what tools expect today.
const WRITTEN: &str = "3.0.0";
const SERVED: &str = "3.0.3";

/// The documented areas without their services: the document depends on types alone.
struct DocumentOnly;

impl OpenApi for DocumentOnly {
    fn meta() -> Vec<MetaApi> {
        <Documented as OpenApi>::meta()
    }

    fn register(registry: &mut Registry) {
        <Documented as OpenApi>::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

fn service() -> OpenApiService<DocumentOnly, ()> {
    OpenApiService::new(DocumentOnly, TITLE, VERSION)
        .description(DESCRIPTION)
        .license("MIT")
}

/// Bodies that refuse unknown fields, which poem-openapi does and does not say.
const CLOSED: [&str; 10] = [
    "ChangeMeBody",
    "ChangePasswordBody",
    "ChangeUserBody",
    "ClaimBody",
    "CreateCouponBody",
    "LoginBody",
    "PasswordResetBody",
    "RecordGreetingBody",
    "RefreshBody",
    "RegisterBody",
];

/// Whether a body refuses unknown fields.
pub(super) fn is_closed(body: &str) -> bool {
    CLOSED.contains(&body)
}

/// Corrects what poem-openapi wrote, in either format.
fn corrected(mut written: String) -> String {
    let version = |quote: &str, number: &str| format!("{quote}openapi{quote}: {quote}{number}{quote}");
    for quote in ["\"", ""] {
        written = written.replacen(&version(quote, WRITTEN), &version(quote, SERVED), 1);
    }
    for body in CLOSED {
        let json = format!("\"title\": \"{body}\",\n");
        written = written.replacen(&json, &format!("{json}        \"additionalProperties\": false,\n"), 1);
        let yaml = format!("      title: {body}\n");
        written = written.replacen(&yaml, &format!("{yaml}      additionalProperties: false\n"), 1);
    }
    written
}

/// The document as JSON.
#[must_use]
pub fn json() -> String {
    format!("{}\n", corrected(service().spec()).trim_end())
}

/// The document as YAML.
#[must_use]
pub fn yaml() -> String {
    corrected(service().spec_yaml())
}

/// What the explorer's head says besides. On a telephone its buttons go below each other, and what is too wide scrolls by itself, so
/// that the page does not.
const HEAD: &str = "<title>dlc API</title><meta name=\"viewport\" content=\"width=device-width\">\
    <link rel=\"icon\" href=\"data:,\"><style>@media (max-width:600px){\
    .swagger-ui .opblock .opblock-section-header{flex-wrap:wrap;row-gap:16px}\
    .swagger-ui .opblock .opblock-body{overflow-x:auto}}</style>";

fn explorer() -> String {
    let page = corrected(service().swagger_ui_html()).replacen("<title>Swagger UI</title>", HEAD, 1);
    page.trim_start()
        .replacen("<html charset=\"UTF-8\">", "<!doctype html><html lang=\"en\">", 1)
}

/// A page that never changes while the program runs.
struct Page {
    content_type: &'static str,
    // Shared by all answers: a client that takes its time holds a reference, not a copy.
    plain: Bytes,
    gzip: Bytes,
    etag: String,
    policy: Option<&'static str>,
}

/// The explorer's scripts and styles stand in the page, and it talks to its own origin only.
const EXPLORER_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; \
    font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Page {
    fn new(content_type: &'static str, text: String, policy: Option<&'static str>) -> Self {
        let gzip = gzip::packed(text.as_bytes(), 6).unwrap_or_default();
        let etag = format!("\"{VERSION}-{:x}\"", checksum(text.as_bytes()));
        Self {
            content_type,
            plain: text.into(),
            gzip: gzip.into(),
            etag,
            policy,
        }
    }

    fn respond(&self, request: &Request) -> Response {
        let is_packed = gzip::is_accepted(request.headers()) && !self.gzip.is_empty();
        // Other bytes that say the same (RFC 9110 §8.8.3.3).
        let weak = if is_packed { "W/" } else { "" };
        let mut response = Response::builder()
            .header(header::ETAG, format!("{weak}{}", self.etag))
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::VARY, "accept-encoding");
        if let Some(policy) = self.policy {
            response = response.header(header::CONTENT_SECURITY_POLICY, policy);
        }
        if preconditions::is_known(request.headers(), &self.etag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        response = response.content_type(self.content_type);
        if is_packed {
            response
                .header(header::CONTENT_ENCODING, "gzip")
                .body(self.gzip.clone())
        } else {
            response.body(self.plain.clone())
        }
    }
}

/// FNV-1a: tells one build's page from another's; nothing depends on it being hard to forge.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The pages, and ways to the explorer from wherever people look for it.
pub(super) fn pages() -> BoxEndpoint<'static, Response> {
    Route::new()
        .at(
            "/docs",
            page("text/html; charset=utf-8", explorer, Some(EXPLORER_POLICY)),
        )
        .at("/openapi.json", page("application/json", json, None))
        .at("/openapi.yaml", page("application/yaml", yaml, None))
        .at("/", lead_to_explorer())
        .at("/swagger", lead_to_explorer())
        .at("/swagger/index.html", lead_to_explorer())
        .boxed()
}

/// A page that is made when it is first asked for: `serve` must not wait for it.
fn page(
    content_type: &'static str,
    make: fn() -> String,
    policy: Option<&'static str>,
) -> impl IntoEndpoint<Endpoint = impl Endpoint + 'static> {
    let page = Arc::new(std::sync::LazyLock::new(move || {
        Page::new(content_type, make(), policy)
    }));
    get(poem::endpoint::make(move |request: Request| {
        let page = Arc::clone(&page);
        async move { page.respond(&request) }
    }))
}

fn lead_to_explorer() -> impl IntoEndpoint<Endpoint = impl Endpoint + 'static> {
    get(poem::endpoint::make_sync(|_| {
        Response::builder()
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header(header::LOCATION, "/docs")
            .finish()
    }))
}
