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
    files, running,
    server::{NO_EXTENSION, OWN_SCHEMAS, Server, quoted},
};
use crate::{schema::history::OWN_TABLES, session::Session};

/// What a session writes a value as must not depend on whose session it is. And whoever is interrupted, or killed, leaves no statement
/// behind that goes on reading.
pub(super) const SAME_FOR_ALL: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; \
     SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL row_security = off; SET LOCAL DateStyle = 'ISO, YMD'; \
     SET LOCAL IntervalStyle = 'postgres'; SET LOCAL TimeZone = 'UTC'; SET LOCAL extra_float_digits = 3; \
     SET LOCAL bytea_output = 'hex'; SET LOCAL lc_monetary = 'C'; \
     SELECT set_config(name, CASE name WHEN 'transaction_timeout' THEN '0' ELSE '1s' END, true) FROM pg_settings \
     WHERE name IN ('transaction_timeout', 'client_connection_check_interval')";

impl Server<'_> {
    /// What is in the database, within a transaction that has begun.
    async fn contents(&self, session: &mut Session, observer: &Observer) -> Result<Contents, BackupError> {
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
            "SELECT format('%s.%s', n.nspname, c.relname), format('%I.%I', n.nspname, c.relname), \
                 (SELECT coalesce(string_agg(format('of_dlc.%I', a.attname), ', ' ORDER BY a.attname COLLATE \"C\"), '') \
                     FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND {OWN_SCHEMAS} AND {NO_EXTENSION} ORDER BY 1"
        );
        // That of a server that knows no encoding is what somebody has put there: it cannot be converted into any.
        let encoding = match self
            .text(session, "SELECT current_setting('server_encoding')")
            .await?
            .as_str()
        {
            "SQL_ASCII" => "SQL_ASCII",
            _ => "UTF8",
        };
        let tables = session.rows(&tables, &[]).await.map_err(|e| self.failed(&e))?;
        let of = tables.len() as u64;
        for (done, row) in tables.into_iter().enumerate() {
            if observer.is_stopped() {
                return Err(BackupError::Stopped);
            }
            observer.observe("tables counted", done as u64, Some(of));
            let [Some(name), Some(table), Some(columns)] = <[_; 3]>::try_from(row).unwrap_or_default() else {
                continue;
            };
            let sum = self.sum(session, &sum_of(&table, &columns, encoding)).await?;
            found.tables.insert(name, sum);
        }
        // Where there are none, nobody has to hear of them.
        let any = "SELECT CAST(count(*) AS text) FROM (SELECT 1 FROM pg_largeobject_metadata LIMIT 1) s";
        if self.text(session, any).await? == "1" {
            found.tables.insert(
                LARGE_OBJECTS.to_owned(),
                self.sum(session, &sum_of_large_objects()).await?,
            );
        }
        Ok(found)
    }

    /// Answers a question for a count and two sums.
    async fn sum(&self, session: &mut Session, sql: &str) -> Result<TableContents, BackupError> {
        let rows = session.rows(sql, &[]).await.map_err(|e| self.failed(&e))?;
        let [rows, high, low] = rows
            .into_iter()
            .next()
            .and_then(|row| <[_; 3]>::try_from(row).ok())
            .unwrap_or_default()
            .map(Option::unwrap_or_default);
        Ok(TableContents {
            rows: rows.parse().unwrap_or_default(),
            hash: files::hex(&Sha256::digest(format!("{high} {low}"))[..16]),
        })
    }

    /// The same, until somebody wants the whole to end.
    pub(super) async fn contents_until_stopped(
        &self,
        session: &mut Session,
        observer: &Observer,
    ) -> Result<Contents, BackupError> {
        tokio::select! {
            contents = self.contents(session, observer) => contents,
            () = running::stopped(observer) => Err(BackupError::Stopped),
        }
    }

    /// The same in a transaction of its own.
    pub(super) async fn look(&self, observer: &Observer) -> Result<Contents, BackupError> {
        let mut session = self.session().await?;
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SAME_FOR_ALL}");
        self.execute(&mut session, &begin).await?;
        let contents = self.contents_until_stopped(&mut session, observer).await?;
        session.close().await;
        Ok(contents)
    }
}

/// The name under which large objects are counted. No table is called so: those have their schema before them.
pub(super) const LARGE_OBJECTS: &str = "large objects";

/// Count and sums of one table: each row's SHA-256 is two numbers, and the rows' numbers are added. The columns go by their names:
/// a table that inherits may have them in another order once it is restored.
fn sum_of(table: &str, columns: &str, encoding: &str) -> String {
    let (high, low) = (number(1), number(17));
    format!(
        "SELECT CAST(count(*) AS text), {high}, {low} FROM (SELECT encode(sha256(convert_to(CAST(ROW({columns}) AS text), '{encoding}')), 'hex') AS h \
         FROM ONLY {table} of_dlc) s"
    )
}

/// The same of the large objects, piece by piece, because one may be larger than a value. Each is opened for its length.
fn sum_of_large_objects() -> String {
    const PIECE: u32 = 8 << 20;
    let (high, low) = (number(1), number(17));
    format!(
        "SELECT CAST(count(DISTINCT oid) AS text), {high}, {low} FROM ( \
             SELECT m.oid, encode(sha256(convert_to(concat_ws(' ', m.oid, n, ''), 'SQL_ASCII') || lo_get(m.oid, n * {PIECE}, {PIECE})), 'hex') AS h \
             FROM pg_largeobject_metadata m, \
                 LATERAL (SELECT lo_open(m.oid, 262144) AS fd OFFSET 0) o, \
                 LATERAL (SELECT o.fd, lo_lseek64(o.fd, 0, 2) AS size OFFSET 0) l, \
                 LATERAL (SELECT l.size, lo_close(l.fd) AS closed OFFSET 0) c, \
                 generate_series(0, c.size / {PIECE}) n WHERE c.closed = 0) s"
    )
}

/// The sum over sixteen digits of each row's.
fn number(from: u8) -> String {
    format!("CAST(coalesce(sum(CAST(CAST('x' || substr(h, {from}, 16) AS bit(64)) AS bigint)), 0) AS text)")
}
