//! A scratch copy of the structure, without rows, on which statements are rehearsed: temporary tables of one connection on
//! PostgreSQL, a database in memory on SQLite. Both are gone with the connection; no live table is ever touched.

mod postgres;
mod sqlite;

use dlc_application::{
    operations::migrate::{LockMode, SchemaObject},
    ports::{inspection::Engine, migrations::MigrateError},
};
use sqlx::sqlite::SqliteConnectOptions;

pub(super) use postgres::cannot_run_in_a_transaction;

use super::{SqlMigrator, catalogue, work::Work};
use crate::{
    connection::{DatabaseOptions, Pooler},
    error,
    session::Session,
};

/// What a rehearsed statement did to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) table: String,
    pub(super) lock: LockMode,
    pub(super) rewrites: bool,
    pub(super) scans: bool,
}

/// The copy.
pub(super) struct Scratch {
    session: Session,
    /// Whether one server connection serves the whole of it, so that each statement can be a transaction of its own.
    direct: bool,
}

impl Scratch {
    /// An empty copy.
    pub(super) async fn open(migrator: &SqlMigrator) -> Result<Self, MigrateError> {
        let options = &migrator.options;
        match migrator.engine() {
            Engine::Sqlite => Ok(Self {
                session: Session::sqlite(options, SqliteConnectOptions::new().in_memory(true)).await?,
                direct: true,
            }),
            Engine::Postgres => Self::open_postgres(options)
                .await
                .map(|(session, direct)| Self { session, direct }),
        }
    }

    async fn open_postgres(options: &DatabaseOptions) -> Result<(Session, bool), MigrateError> {
        let mut session = Session::Postgres(options.postgres_session().await?);
        let direct = options.pooler == Pooler::None;
        // Behind a pooler one transaction holds it all together, and takes it away at its end. Temporary tables are no
        // write, but a role that may only read would be told so.
        let begin = if direct {
            "SET default_transaction_read_only = off; SET search_path = pg_temp"
        } else {
            "BEGIN READ WRITE; SET LOCAL search_path = pg_temp"
        };
        // Only a first temporary table makes the temporary schema.
        for sql in [
            begin,
            "CREATE TEMP TABLE dlc_scratch ()",
            "DROP TABLE pg_temp.dlc_scratch",
        ] {
            session.execute(sql).await.map_err(|e| error::migrate(&e, None))?;
        }
        Ok((session, direct))
    }

    /// Why statements cannot be rehearsed here, if so.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        (!self.direct).then_some("a transaction pooler is in between; DLC_DATABASE__MIGRATION_URL goes around it")
    }

    /// Brings the copy to where a migration leads, unwatched.
    pub(super) async fn apply(&mut self, work: &Work) -> Result<(), MigrateError> {
        for statement in &work.statements {
            let sql = without_concurrently(statement, self.direct);
            self.session
                .execute(&sql)
                .await
                .map_err(|e| error::migrate(&e, Some(&work.name)))?;
        }
        Ok(())
    }

    /// Runs one statement and tells what it did to the tables that were there before it; in words why it could not.
    pub(super) async fn rehearse(&mut self, statement: &str) -> Result<Vec<Touch>, String> {
        match self.session.engine() {
            Engine::Postgres => postgres::rehearse(&mut self.session, statement).await,
            Engine::Sqlite => sqlite::rehearse(&mut self.session, statement).await,
        }
        .map_err(|e| error::words(&e))
    }

    /// What the copy is made of.
    pub(super) async fn objects(&mut self) -> Result<Vec<SchemaObject>, MigrateError> {
        catalogue::objects(&mut self.session)
            .await
            .map_err(|e| error::migrate(&e, None))
    }

    pub(super) async fn close(self) {
        self.session.close().await;
    }
}

/// In one transaction nothing can be built concurrently, and on empty tables nobody would notice.
fn without_concurrently(statement: &str, direct: bool) -> String {
    if direct {
        return statement.to_owned();
    }
    statement.replacen(" CONCURRENTLY", "", 1)
}
