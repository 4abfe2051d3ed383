//! Statements as spans of a trace: what is done to which table, and whether it worked.
//!
//! Never the SQL, which may hold literals, and never a value. Spans of the target `dlc::trace` are made only while somebody
//! takes traces; else each costs one look at a flag. Not here: how long statements take in figures (`statistics`), who takes
//! the spans.

use dlc_application::ports::{StorageErrorKind, inspection::Engine};
use opentelemetry::trace::TraceContextExt;
use sea_orm::DbErr;
use tracing::{Instrument, Level, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::error;

/// One kind of statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    operation: &'static str,
    collection: Option<&'static str>,
    /// Operation and tables, which is how its spans are called.
    summary: &'static str,
}

impl Statement {
    pub(crate) const BEGIN: Self = Self::of_a_transaction("BEGIN");
    pub(crate) const COMMIT: Self = Self::of_a_transaction("COMMIT");
    pub(crate) const ROLLBACK: Self = Self::of_a_transaction("ROLLBACK");
    pub(crate) const SELECT_COUPONS: Self = Self::on("SELECT", "coupons", "SELECT coupons");
    pub(crate) const SELECT_COUPONS_CLAIMS: Self = Self {
        operation: "SELECT",
        collection: None,
        summary: "SELECT coupons claims",
    };
    pub(crate) const SELECT_CLAIMS: Self = Self::on("SELECT", "claims", "SELECT claims");
    pub(crate) const INSERT_COUPONS: Self = Self::on("INSERT", "coupons", "INSERT coupons");
    pub(crate) const INSERT_CLAIMS: Self = Self::on("INSERT", "claims", "INSERT claims");
    pub(crate) const TRY_LOCK: Self = Self {
        operation: "SELECT",
        collection: None,
        summary: "SELECT pg_try_advisory_xact_lock",
    };
    pub(crate) const SELECT_KEYS: Self = Self::on("SELECT", "idempotency_keys", "SELECT idempotency_keys");
    pub(crate) const INSERT_KEYS: Self = Self::on("INSERT", "idempotency_keys", "INSERT idempotency_keys");
    pub(crate) const DELETE_KEYS: Self = Self::on("DELETE", "idempotency_keys", "DELETE idempotency_keys");
    pub(crate) const UPDATE_COUPONS: Self = Self::on("UPDATE", "coupons", "UPDATE coupons");
    pub(crate) const SELECT_USERS: Self = Self::on("SELECT", "users", "SELECT users");
    pub(crate) const INSERT_USERS: Self = Self::on("INSERT", "users", "INSERT users");
    pub(crate) const UPDATE_USERS: Self = Self::on("UPDATE", "users", "UPDATE users");
    pub(crate) const DELETE_USERS: Self = Self::on("DELETE", "users", "DELETE users");
    pub(crate) const SELECT_TOKEN_VERSIONS: Self = Self::on("SELECT", "token_versions", "SELECT token_versions");
    pub(crate) const INSERT_TOKEN_VERSIONS: Self = Self::on("INSERT", "token_versions", "INSERT token_versions");
    pub(crate) const SELECT_SESSIONS: Self = Self::on("SELECT", "sessions", "SELECT sessions");
    pub(crate) const INSERT_SESSIONS: Self = Self::on("INSERT", "sessions", "INSERT sessions");
    pub(crate) const UPDATE_SESSIONS: Self = Self::on("UPDATE", "sessions", "UPDATE sessions");
    pub(crate) const DELETE_SESSIONS: Self = Self::on("DELETE", "sessions", "DELETE sessions");
    pub(crate) const SELECT_REFRESH_TOKENS: Self = Self::on("SELECT", "refresh_tokens", "SELECT refresh_tokens");
    pub(crate) const INSERT_REFRESH_TOKENS: Self = Self::on("INSERT", "refresh_tokens", "INSERT refresh_tokens");
    pub(crate) const UPDATE_REFRESH_TOKENS: Self = Self::on("UPDATE", "refresh_tokens", "UPDATE refresh_tokens");
    pub(crate) const DELETE_REFRESH_TOKENS: Self = Self::on("DELETE", "refresh_tokens", "DELETE refresh_tokens");
    pub(crate) const INSERT_SIGN_IN_FAILURES: Self = Self::on("INSERT", "sign_in_failures", "INSERT sign_in_failures");
    pub(crate) const UPDATE_SIGN_IN_FAILURES: Self = Self::on("UPDATE", "sign_in_failures", "UPDATE sign_in_failures");
    pub(crate) const DELETE_SIGN_IN_FAILURES: Self = Self::on("DELETE", "sign_in_failures", "DELETE sign_in_failures");
    pub(crate) const INSERT_PASSWORD_RESETS: Self = Self::on("INSERT", "password_resets", "INSERT password_resets");
    pub(crate) const DELETE_PASSWORD_RESETS: Self = Self::on("DELETE", "password_resets", "DELETE password_resets");
    pub(crate) const INSERT_AUDIT_EVENTS: Self = Self::on("INSERT", "audit_events", "INSERT audit_events");
    pub(crate) const SELECT_GREET_HISTORY: Self = Self::on("SELECT", "greet_history", "SELECT greet_history");
    pub(crate) const INSERT_GREET_HISTORY: Self = Self::on("INSERT", "greet_history", "INSERT greet_history");
    pub(crate) const DELETE_GREET_HISTORY: Self = Self::on("DELETE", "greet_history", "DELETE greet_history");
    pub(crate) const SELECT_SIGN_IN: Self = Self {
        operation: "SELECT",
        collection: None,
        summary: "SELECT users sign_in_failures",
    };
    pub(crate) const SELECT_PRINCIPAL: Self = Self {
        operation: "SELECT",
        collection: None,
        summary: "SELECT users sessions token_versions",
    };
    pub(crate) const SELECT_USERS_RESETS: Self = Self {
        operation: "SELECT",
        collection: None,
        summary: "SELECT users password_resets",
    };

    const fn on(operation: &'static str, collection: &'static str, summary: &'static str) -> Self {
        Self {
            operation,
            collection: Some(collection),
            summary,
        }
    }

    const fn of_a_transaction(operation: &'static str) -> Self {
        Self {
            operation,
            collection: None,
            summary: operation,
        }
    }

    /// Runs it in a span of its own.
    pub(crate) async fn traced<T, E: Failure>(
        self,
        engine: Engine,
        run: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let span = self.span(engine);
        let result = run.instrument(span.clone()).await;
        if let Err(failure) = &result
            && !span.is_disabled()
        {
            span.record("error.type", class(failure.kind()));
            span.record("otel.status_code", "error");
        }
        result
    }

    /// The same for a statement that is asked on behalf of others, too: their spans are linked to this one's.
    pub(crate) async fn traced_for<T, E: Failure>(
        self,
        engine: Engine,
        others: impl Iterator<Item = &Span>,
        run: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let run = async {
            let span = Span::current();
            others.for_each(|other| {
                span.follows_from(other);
            });
            run.await
        };
        self.traced(engine, run).await
    }

    fn span(self, engine: Engine) -> Span {
        // Without a request, or with one that is not recorded, it is nobody's, and must not become a trace of its own.
        if !is_within_a_trace() {
            return Span::none();
        }
        tracing::info_span!(
            target: "dlc::trace",
            "statement",
            otel.name = self.summary,
            otel.kind = "client",
            db.system.name = match engine {
                Engine::Postgres => "postgresql",
                Engine::Sqlite => "sqlite",
            },
            db.operation.name = self.operation,
            db.collection.name = self.collection,
            db.query.summary = self.summary,
            error.type = Empty,
            otel.status_code = Empty,
        )
    }
}

/// Whether traces are taken, and a span is open here.
pub(crate) fn is_within_a_trace() -> bool {
    tracing::span_enabled!(target: "dlc::trace", Level::INFO) && !Span::current().is_none()
}

/// The span that is open here, when the trace that it belongs to is recorded.
pub(crate) fn recorded() -> Option<Span> {
    if !tracing::span_enabled!(target: "dlc::trace", Level::INFO) {
        return None;
    }
    let span = Span::current();
    let is_recorded = span.context().span().span_context().is_sampled();
    is_recorded.then_some(span)
}

/// Why a statement failed, in the words of the figures.
fn class(kind: StorageErrorKind) -> &'static str {
    match kind {
        StorageErrorKind::Unavailable => "unavailable",
        StorageErrorKind::Timeout => "timeout",
        StorageErrorKind::Conflict => "conflict",
        StorageErrorKind::Overloaded => "overloaded",
        StorageErrorKind::Other => "other",
    }
}

/// A driver's error.
pub(crate) trait Failure {
    fn kind(&self) -> StorageErrorKind;
}

impl Failure for DbErr {
    fn kind(&self) -> StorageErrorKind {
        error::kind(self)
    }
}

impl Failure for sqlx::Error {
    fn kind(&self) -> StorageErrorKind {
        error::storage_kind(self)
    }
}
