//! A collector of traces: a real server of OTLP over gRPC that keeps what it is sent.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{ResourceSpans, Span, span::SpanKind},
};
use prost::Message;
use tokio::net::TcpListener;

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub span: Span,
    /// The attributes of whoever sent it.
    pub resource: Vec<(String, String)>,
}

/// Ids in hexadecimal digits, as headers have them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn words(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> Vec<(String, String)> {
    let word = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|pair| (pair.key.clone(), word(pair.value.clone().and_then(|value| value.value))))
        .collect()
}

impl Seen {
    pub fn name(&self) -> &str {
        &self.span.name
    }

    pub fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    pub fn kind(&self) -> SpanKind {
        self.span.kind()
    }

    /// Whether it failed: the status code of OTLP is 2 then.
    pub fn failed(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == 2)
    }

    /// Attributes in words.
    pub fn attributes(&self) -> Vec<(String, String)> {
        words(&self.span.attributes)
    }

    pub fn attribute(&self, key: &str) -> Option<String> {
        self.attributes()
            .into_iter()
            .find_map(|(name, value)| (name == key).then_some(value))
    }
}

/// A running collector.
pub struct Collector {
    endpoint: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (keep, count) = (Arc::clone(&seen), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let keep = Arc::clone(&keep);
                let service = service_fn(move |request| take(request, Arc::clone(&keep)));
                tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            endpoint,
            seen,
            connections,
        }
    }

    /// Its URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What came so far.
    pub fn spans(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Takes one batch. A message of gRPC is five bytes, then the message; the outcome stands in the trailers.
async fn take(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    let body = request.into_body().collect().await?.to_bytes();
    let message = ExportTraceServiceRequest::decode(body.slice(5..)).unwrap();
    let mut spans: Vec<Seen> = message.resource_spans.iter().flat_map(seen_of).collect();
    seen.lock().unwrap().append(&mut spans);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 5]))),
        Ok(Frame::trailers(trailers)),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Ok(Response::builder()
        .header("content-type", "application/grpc")
        .body(BodyExt::boxed(body))
        .unwrap())
}

fn seen_of(resource: &ResourceSpans) -> Vec<Seen> {
    let attributes = resource
        .resource
        .as_ref()
        .map(|resource| words(&resource.attributes))
        .unwrap_or_default();
    let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
    spans
        .map(|span| Seen {
            span: span.clone(),
            resource: attributes.clone(),
        })
        .collect()
}
