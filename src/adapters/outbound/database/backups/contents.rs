//! What is in a database of PostgreSQL: migrations, rows and their sums, books. Not here: what differences mean (`operations/backups`).

use dlc_application::{
    operations::{
        backups::{Contents, TableContents},
        books::{self, Books},
    },
    ports::{
        backups::{BackupError, Observer},
        inspection::Engine,
    },
};
use sha2::{Digest, Sha256};

use super::{
    files,
    postgres::{NO_EXTENSION, OWN_SCHEMAS, Server, quoted},
    running,
};
use crate::{schema::history::OWN_TABLES, session::Session};

/// What a session writes a value as must not depend on whose session it is.
pub(super) const SAME_FOR_ALL: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; \
     SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL row_security = off; SET LOCAL DateStyle = 'ISO, YMD'; \
     SET LOCAL IntervalStyle = 'postgres'; SET LOCAL TimeZone = 'UTC'; SET LOCAL extra_float_digits = 3; \
     SET LOCAL bytea_output = 'hex'; SET LOCAL lc_monetary = 'C'; \
     SELECT set_config('transaction_timeout', '0', true) WHERE current_setting('transaction_timeout', true) IS NOT NULL";

impl Server<'_> {
    /// What is in the database, within a transaction that has begun.
    pub(super) async fn contents(&self, session: &mut Session, observer: &Observer) -> Result<Contents, BackupError> {
        let mut found = Contents::default();
        // dlc's own tables are where its history is, whatever search path a database has been given.
        let schema = format!(
            "SELECT CAST(n.nspname AS text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname = '{}' AND c.relkind = 'r' AND {OWN_SCHEMAS} ORDER BY pg_table_is_visible(c.oid) DESC, 1 LIMIT 1",
            OWN_TABLES[0]
        );
        let schema = self.text(session, &schema).await?;
        if !schema.is_empty() {
            let path = format!(
                "SELECT set_config('search_path', quote_ident('{}'), true)",
                quoted(&schema)
            );
            self.text(session, &path).await?;
            let sql = format!(
                "SELECT CAST(version AS text) FROM {} ORDER BY version COLLATE \"C\"",
                OWN_TABLES[0]
            );
            let rows = session.rows(&sql, &[]).await.map_err(|e| self.failed(&e))?;
            found.migrations = rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
            let both = "SELECT CAST(count(to_regclass(t)) AS text) FROM unnest(ARRAY['coupons', 'claims']) t";
            if self.text(session, both).await? == "2" {
                let rows = session.rows(books::question(Engine::Postgres, false), &[]).await;
                found.books = Books::read(&rows.map_err(|e| self.failed(&e))?);
            }
        }
        self.execute(session, "SET LOCAL search_path = pg_catalog").await?;
        let tables = format!(
            "SELECT format('%s.%s', n.nspname, c.relname), format('%I.%I', n.nspname, c.relname) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND {OWN_SCHEMAS} AND {NO_EXTENSION} ORDER BY 1"
        );
        let tables = session.rows(&tables, &[]).await.map_err(|e| self.failed(&e))?;
        let of = tables.len() as u64;
        for (done, row) in tables.into_iter().enumerate() {
            if observer.is_stopped() {
                return Err(BackupError::Stopped);
            }
            observer.observe("tables counted", done as u64, Some(of));
            let [Some(name), Some(table)] = <[_; 2]>::try_from(row).unwrap_or_default() else {
                continue;
            };
            let rows = session.rows(&sum_of(&table), &[]).await.map_err(|e| self.failed(&e))?;
            let [rows, high, low] = rows
                .into_iter()
                .next()
                .and_then(|row| <[_; 3]>::try_from(row).ok())
                .unwrap_or_default()
                .map(Option::unwrap_or_default);
            let hash = files::hex(&Sha256::digest(format!("{high} {low}"))[..16]);
            let rows = rows.parse().unwrap_or_default();
            found.tables.insert(name, TableContents { rows, hash });
        }
        Ok(found)
    }

    /// The same in a transaction of its own.
    pub(super) async fn look(&self, observer: &Observer) -> Result<Contents, BackupError> {
        let mut session = self.session().await?;
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SAME_FOR_ALL}");
        self.execute(&mut session, &begin).await?;
        let contents = tokio::select! {
            contents = self.contents(&mut session, observer) => contents?,
            () = running::stopped(observer) => return Err(BackupError::Stopped),
        };
        session.close().await;
        Ok(contents)
    }
}

/// Count and sums of one table: each row's SHA-256 is two numbers, and the rows' numbers are added.
fn sum_of(table: &str) -> String {
    let number = |from: u8| format!("coalesce(sum(CAST(CAST('x' || substr(h, {from}, 16) AS bit(64)) AS bigint)), 0)");
    format!(
        "SELECT CAST(count(*) AS text), CAST({} AS text), CAST({} AS text) \
         FROM (SELECT encode(sha256(convert_to(CAST((of_dlc.*) AS text), 'UTF8')), 'hex') AS h FROM ONLY {table} of_dlc) s",
        number(1),
        number(17)
    )
}
