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

use super::{SqlMigrator, postgres::is_direct};
use crate::{
    error,
    schema::{catalogue, work::Work},
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
    /// The schemas of the database, which no rehearsed statement may name.
    schemas: Vec<String>,
    /// Why statements cannot be watched one by one, if so.
    obstacle: Option<&'static str>,
}

impl Scratch {
    /// An empty copy that is brought to some state and looked at as a whole. On PostgreSQL it is one transaction that is
    /// never committed.
    pub(super) async fn open(migrator: &SqlMigrator) -> Result<Self, MigrateError> {
        Self::begin(migrator, false).await
    }

    /// An empty copy on which statements are watched one by one: each is committed, so that the next one's locks are its
    /// own. That is for a session of its own alone; what was committed behind a pooler would stand in everybody's way.
    pub(super) async fn open_to_watch(migrator: &SqlMigrator) -> Result<Self, MigrateError> {
        Self::begin(migrator, true).await
    }

    async fn begin(migrator: &SqlMigrator, watched: bool) -> Result<Self, MigrateError> {
        let options = &migrator.options;
        if migrator.engine() == Engine::Sqlite {
            let session = Session::sqlite(options, SqliteConnectOptions::new().in_memory(true)).await?;
            return Ok(Self {
                session,
                schemas: vec!["main".to_owned(), "temp".to_owned()],
                obstacle: None,
            });
        }
        let failed = |e: sqlx::Error| error::migrate(&e, None);
        let mut session = Session::Postgres(options.postgres_session().await?);
        let schemas = "SELECT CAST(nspname AS text) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'";
        let schemas = session.rows(schemas, &[]).await.map_err(failed)?;
        let direct = watched && is_direct(&mut session, options).await?;
        // Temporary tables are no write, but a role that may only read would be told so. A statement that would wait here
        // does not belong here.
        let begin = if direct {
            "SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed'; \
             SET lock_timeout = '100ms'; SET search_path = pg_temp"
        } else {
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '100ms'; \
             SET LOCAL search_path = pg_temp"
        };
        session.execute(begin).await.map_err(failed)?;
        // Only a first temporary table makes the temporary schema.
        if let Err(e) = session.execute("CREATE TEMP TABLE dlc_scratch ()").await {
            let MigrateError::Privilege { cause } = failed(e) else {
                return Err(MigrateError::NotRehearsable {
                    cause: "temporary tables cannot be made here".to_owned(),
                    grant: "is this a replica? look at the primary".to_owned(),
                });
            };
            let grant = "ask the database's owner for: GRANT TEMPORARY ON DATABASE … TO …".to_owned();
            return Err(MigrateError::NotRehearsable { cause, grant });
        }
        session
            .execute("DROP TABLE pg_temp.dlc_scratch")
            .await
            .map_err(failed)?;
        Ok(Self {
            session,
            schemas: schemas.into_iter().flatten().flatten().collect(),
            obstacle: (!direct)
                .then_some("a transaction pooler is in between, or may be; DLC_DATABASE__MIGRATION_URL goes around it"),
        })
    }

    /// Brings the copy to where a migration leads, unwatched. What must not be tried here is left out: it makes no table.
    pub(super) async fn apply(&mut self, work: &Work) -> Result<(), MigrateError> {
        for statement in work
            .statements
            .iter()
            .filter(|sql| refusal(sql, &self.schemas).is_none())
        {
            // On empty tables nobody would notice the difference, and in a transaction it would be refused.
            let sql = statement.replacen(" CONCURRENTLY", "", 1);
            self.session
                .execute(&sql)
                .await
                .map_err(|e| error::migrate(&e, Some(&work.name)))?;
        }
        Ok(())
    }

    /// Runs one statement and tells what it did to the tables that were there before it; in words why it could not.
    pub(super) async fn rehearse(&mut self, statement: &str) -> Result<Vec<Touch>, String> {
        if let Some(why) = self
            .obstacle
            .map(str::to_owned)
            .or_else(|| refusal(statement, &self.schemas))
        {
            return Err(why);
        }
        match self.session.engine() {
            Engine::Postgres => postgres::rehearse(&mut self.session, statement).await,
            Engine::Sqlite => {
                let touches = sqlite::rehearse(&mut self.session, statement).await;
                touches.map_err(|e| error::words(&e))
            }
        }
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

/// Why a statement must not be tried on the copy, if so: it is none that stays within its tables, or it names a schema, and
/// so perhaps a live table.
fn refusal(statement: &str, schemas: &[String]) -> Option<String> {
    const WITHIN: [&str; 12] = [
        "CREATE TABLE",
        "CREATE INDEX",
        "CREATE UNIQUE INDEX",
        "ALTER TABLE",
        "ALTER INDEX",
        "DROP TABLE",
        "DROP INDEX",
        "INSERT INTO",
        "UPDATE ",
        "DELETE FROM",
        "CREATE TYPE",
        "COMMENT ON",
    ];
    let text = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    if !WITHIN.iter().any(|within| {
        text.get(..within.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(within))
    }) {
        return Some("it may reach beyond tables and indexes".to_owned());
    }
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.' || c == '"'));
    let qualifiers = words.filter_map(|word| word.split_once('.').map(|(head, _)| head.trim_matches('"')));
    let named = qualifiers
        .into_iter()
        .find(|head| schemas.iter().any(|schema| schema.eq_ignore_ascii_case(head)));
    named.map(|schema| format!("it names the schema {schema}, where the live tables are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_within_the_copy_is_tried() {
        let schemas = ["public".to_owned()];
        for tried in [
            "ALTER TABLE coupons ADD COLUMN note text",
            "create  unique index i ON users (lower(username))",
            "INSERT INTO t SELECT 1.5, c.name FROM coupons c",
        ] {
            assert_eq!(refusal(tried, &schemas), None, "{tried}");
        }
        for refused in [
            "TRUNCATE public.greet_history",
            "ALTER TABLE public.coupons ADD n int",
            "ALTER TABLE \"public\".coupons ADD n int",
            "CREATE SCHEMA s",
            "CREATE EXTENSION citext",
            "DO $$ BEGIN END $$",
            "GRANT SELECT ON coupons TO public",
            "DROP TABLE a, public.b",
            "VACUUM coupons",
        ] {
            assert!(refusal(refused, &schemas).is_some(), "{refused}");
        }
    }
}
