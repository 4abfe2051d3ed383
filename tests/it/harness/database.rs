//! A database of one's own.

use std::{path::PathBuf, time::Duration};

use dlc::database::{DatabaseOptions, Pooler};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::{OnEngine, dlc::Dlc, postgres};

/// Which engine a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// A database that nobody else uses; removed when dropped.
pub struct Database {
    pub engine: Engine,
    /// For `DATABASE_URL`.
    pub url: String,
    /// The name (PostgreSQL).
    name: Option<String>,
    directory: TempDir,
}

impl Database {
    /// With the schema of the migrations.
    pub async fn migrated(engine: Engine) -> Self {
        let database = Self::make(engine, true).await;
        if engine == Engine::Sqlite {
            let migrated = database.dlc().run(&["migrate", "up"]).await;
            assert_eq!(migrated.code, 0, "{migrated:?}");
        }
        database
    }

    /// Without anything; on SQLite not even the file.
    pub async fn empty(engine: Engine) -> Self {
        Self::make(engine, false).await
    }

    async fn make(engine: Engine, migrated: bool) -> Self {
        let directory = tempfile::Builder::new().prefix("dlc-test-").tempdir().unwrap();
        let (url, name) = match engine {
            Engine::Sqlite => (
                format!("sqlite://{}", directory.path().join("dlc_test.db").display()),
                None,
            ),
            Engine::Postgres => {
                let cluster = postgres::cluster().await;
                let name = cluster.create(migrated).await;
                (cluster.url(&name), Some(name))
            }
        };
        Self {
            engine,
            url,
            name,
            directory,
        }
    }

    /// One that somebody else has made, and removes.
    pub fn at(engine: Engine, url: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("dlc-test-").tempdir().unwrap();
        Self {
            engine,
            url: url.to_owned(),
            name: None,
            directory,
        }
    }

    /// The SQLite file.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("dlc_test.db")
    }

    /// The database's name (PostgreSQL).
    pub fn name(&self) -> &str {
        self.name.as_deref().expect("a PostgreSQL database")
    }

    /// The binary, with this database. All tests of a server come from one address, and sign in as often as they like.
    pub fn dlc(&self) -> Dlc {
        Dlc::new()
            .env("DATABASE_URL", &self.url)
            .env("DLC_AUTH__RATE_LIMIT", "off")
    }

    /// Options for connections in this process.
    pub fn options(&self) -> DatabaseOptions {
        options_of(&self.url)
    }

    /// Runs SQL behind the program's back.
    pub async fn execute(&self, sql: &str) {
        match self.engine {
            Engine::Sqlite => {
                let mut session = SqliteConnection::connect(&self.url).await.unwrap();
                session
                    .execute(AssertSqlSafe(sql))
                    .await
                    .unwrap_or_else(|error| panic!("{sql}: {error}"));
                session.close().await.unwrap();
            }
            Engine::Postgres => postgres::cluster().await.execute(self.name(), sql).await,
        }
    }

    /// Why a statement is refused.
    pub async fn refusal(&self, sql: &str) -> String {
        match self.engine {
            Engine::Sqlite => {
                let mut session = SqliteConnection::connect(&self.url).await.unwrap();
                session.execute(AssertSqlSafe(sql)).await.expect_err(sql).to_string()
            }
            Engine::Postgres => {
                let mut session = PgConnection::connect(&self.url).await.unwrap();
                session.execute(AssertSqlSafe(sql)).await.expect_err(sql).to_string()
            }
        }
    }

    /// The rows of a query whose columns are all texts; NULL is `-`.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        fn texts<R: sqlx::Row>(row: &R) -> Vec<String>
        where
            usize: sqlx::ColumnIndex<R>,
            for<'a> Option<String>: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        {
            (0..row.len())
                .map(|index| row.get::<Option<String>, _>(index).unwrap_or_else(|| "-".into()))
                .collect()
        }
        match self.engine {
            Engine::Sqlite => {
                let mut session = SqliteConnection::connect(&self.url).await.unwrap();
                session
                    .fetch_all(AssertSqlSafe(sql))
                    .await
                    .unwrap()
                    .iter()
                    .map(texts)
                    .collect()
            }
            Engine::Postgres => {
                let mut session = PgConnection::connect(&self.url).await.unwrap();
                session
                    .fetch_all(AssertSqlSafe(sql))
                    .await
                    .unwrap()
                    .iter()
                    .map(texts)
                    .collect()
            }
        }
    }

    /// The one number that a query returns.
    pub async fn number(&self, sql: &str) -> i64 {
        let sql = format!("SELECT CAST(({sql}) AS text)");
        self.rows(&sql).await[0][0]
            .parse()
            .unwrap_or_else(|_| panic!("{sql}: not a number"))
    }
}

impl Database {
    /// Removes it without blocking: for tests that run several at a time in one runtime, whose other connections must go
    /// on while the server waits for them.
    pub async fn remove(mut self) {
        if let Some(name) = self.name.take() {
            postgres::cluster().await.remove(&name).await;
        }
    }
}

/// A session that keeps everybody else from changing what it holds.
pub enum Holder {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    /// Locks what a claim has to change, until released.
    pub async fn hold_coupons(&self) -> Holder {
        self.hold("coupons").await
    }

    /// Locks one coupon, until released; on SQLite everything.
    pub async fn hold_coupon(&self, name: &str) -> Holder {
        self.hold(&format!("coupons WHERE name = '{name}'")).await
    }

    /// Locks a table's rows, until released; on SQLite everything.
    pub async fn hold(&self, table: &str) -> Holder {
        match self.engine {
            Engine::Sqlite => {
                let mut session = SqliteConnection::connect(&self.url).await.unwrap();
                session.execute("BEGIN IMMEDIATE").await.unwrap();
                Holder::Sqlite(session)
            }
            Engine::Postgres => {
                let mut session = PgConnection::connect(&self.url).await.unwrap();
                session.execute("BEGIN").await.unwrap();
                let lock = format!("SELECT 1 FROM {table} FOR UPDATE");
                session.execute(AssertSqlSafe(lock)).await.unwrap();
                Holder::Postgres(session)
            }
        }
    }
}

impl Holder {
    pub async fn release(self) {
        match self {
            Self::Sqlite(mut session) => drop(session.execute("ROLLBACK").await.unwrap()),
            Self::Postgres(mut session) => drop(session.execute("ROLLBACK").await.unwrap()),
        }
    }
}

/// A database without anything; on SQLite not even the file.
pub struct Empty(pub Database);

impl OnEngine for Empty {
    async fn on(engine: Engine) -> Self {
        Self(Database::empty(engine).await)
    }
}

impl OnEngine for Database {
    async fn on(engine: Engine) -> Self {
        Self::migrated(engine).await
    }
}

/// Options for connections to a database in this process.
pub fn options_of(url: &str) -> DatabaseOptions {
    DatabaseOptions {
        url: url.parse().unwrap(),
        application_name: "dlc test".into(),
        max_connections: 1,
        min_connections: 0,
        acquire_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(60),
        max_lifetime: Duration::from_secs(60),
        statement_timeout: None,
        lock_timeout: None,
        idle_in_transaction_timeout: None,
        pooler: Pooler::None,
        create_directory: false,
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        // Dropping cannot wait for a future, so a thread does.
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { postgres::cluster().await.remove(&name).await });
        });
        drop(removal.join());
    }
}
