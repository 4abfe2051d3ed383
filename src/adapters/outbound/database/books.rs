//! Reads the books of coupons: one statement on a connection of its own, for as long as it takes.
//!
//! Not here: the question, and what its answer means (`operations/books`).

use async_trait::async_trait;
use dlc_application::{
    operations::books::{self, Books},
    ports::{
        books::CouponBooks,
        connection::{ConnectError, ConnectFailure},
        inspection::Engine,
    },
};
use dlc_domain::coupons::CouponName;

use crate::{
    error,
    options::{DatabaseOptions, sqlite_options},
    session::{ALL_ROWS, Session, Texts},
};

/// A transaction's own settings count behind a pooler, too, and against what a role or a database has been given. A table that
/// somebody has locked is not waited for without end: whoever waits there keeps others waiting behind it.
const IN_PEACE: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '10s'";

/// The tables themselves, whatever an index says of them: one that was broken (by another collation, say) lets duplicates in, and
/// would not show them.
const WITHOUT_INDEXES: &str =
    "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off";

const NEEDED: &str =
    "GRANT SELECT ON coupons, claims; where a policy hides rows, ask as the tables' owner or with BYPASSRLS";

/// [`CouponBooks`] on both engines.
#[derive(Clone, Debug)]
pub struct SqlCouponBooks(DatabaseOptions);

impl SqlCouponBooks {
    /// The books of a database.
    #[must_use]
    pub fn new(options: &DatabaseOptions) -> Self {
        Self(options.without_time_limits())
    }

    async fn session(&self) -> Result<Session, ConnectError> {
        match self.0.url.engine() {
            Engine::Postgres => Ok(Session::Postgres(self.0.postgres_session().await?)),
            Engine::Sqlite => {
                // Not an immutable one: somebody may begin to write while it is read.
                let options = sqlite_options(self.0.sqlite_path()?).pragma("query_only", "on");
                Session::sqlite(&self.0, options).await
            }
        }
    }
}

async fn ask(session: &mut Session, coupon: Option<&CouponName>) -> Result<Vec<Texts>, sqlx::Error> {
    let engine = session.engine();
    let question = books::question(engine, coupon.is_some());
    let values: Vec<&str> = coupon.map(CouponName::as_str).into_iter().collect();
    if engine == Engine::Sqlite {
        // Whoever writes meanwhile writes into the log beside the file, and this statement does not look there.
        return session.rows(question, &values).await;
    }
    session.execute(IN_PEACE).await?;
    session.execute(ALL_ROWS).await?;
    if coupon.is_none() {
        session.execute(WITHOUT_INDEXES).await?;
    }
    let rows = session.rows(question, &values).await?;
    session.execute("ROLLBACK").await?;
    Ok(rows)
}

#[async_trait]
impl CouponBooks for SqlCouponBooks {
    async fn read(&self, coupon: Option<&CouponName>) -> Result<Books, ConnectError> {
        let mut session = self.session().await?;
        let rows = ask(&mut session, coupon).await;
        session.close().await;
        let rows = rows.map_err(|e| {
            let error = error::connect(&e, &self.0.url);
            match error.failure {
                // One that could connect.
                ConnectFailure::Privilege => ConnectError {
                    hint: Some(NEEDED.to_owned()),
                    ..error
                },
                _ => error,
            }
        })?;
        Books::read(&rows).ok_or_else(|| {
            let cause = "the answer to the audit's question is none";
            error::failed(ConnectFailure::Other, cause, &self.0.url)
        })
    }
}
