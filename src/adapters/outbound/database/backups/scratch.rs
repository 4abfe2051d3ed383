//! Databases for a short time: made beside another one, removed again, also those that a killed run has left. Not here: what they
//! are for.

use std::time::Duration;

use chrono::Utc;
use dlc_application::ports::backups::BackupError;

use super::{
    programs::ProgramPlaces,
    server::{Server, identifier},
};
use crate::{
    options::{DatabaseOptions, Pooler},
    session::Session,
};

/// A scratch database that somebody was killed over is removed by whoever comes by after this long.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// What a scratch database is for: to be looked at, or to stay, under another name.
pub(super) const TRIAL: &str = "verify";
pub(super) const REPLACEMENT: &str = "restore";

impl Server<'_> {
    pub(super) fn options_of(&self, database: &str) -> DatabaseOptions {
        DatabaseOptions {
            url: self.options.url.with_database(database),
            pooler: Pooler::None,
            ..self.options.clone()
        }
    }

    pub(super) async fn drop_database(&self, session: &mut Session, name: &str) -> Result<(), BackupError> {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name));
        self.execute(session, &sql).await
    }

    /// Removes scratch databases of runs that were killed: their names tell how old they are.
    pub(super) async fn remove_abandoned(&self, session: &mut Session) -> Result<(), BackupError> {
        // Whoever takes longer than that is at work still. What was replaced is to go as much as what was to replace it.
        let sql = "SELECT CAST(datname AS text) FROM pg_database d \
                   WHERE datname ~ '^dlc_(verify|restore)_[0-9a-f]{12}_[0-9a-f]{8}(_replaced)?$' AND pg_has_role(datdba, 'USAGE') \
                     AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datid = d.oid)";
        let names = session.rows(sql, &[]).await.map_err(|e| self.failed(&e))?;
        let now = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
        for name in names.into_iter().filter_map(|mut row| row.pop().flatten()) {
            let made = name.split('_').nth(2).and_then(|hex| u64::from_str_radix(hex, 16).ok());
            let age = Duration::from_millis(now.saturating_sub(made.unwrap_or(now)));
            if age > ABANDONED {
                self.drop_database(session, &name).await?;
            }
        }
        Ok(())
    }
}

/// A database for a short time.
#[derive(Debug)]
pub(super) struct Scratch<'a> {
    server: Server<'a>,
    pub(super) name: String,
    options: DatabaseOptions,
}

impl<'a> Scratch<'a> {
    /// Makes one that is like the database of the session, and empty. The beginning of a UUID of version 7 is the time.
    pub(super) async fn make(
        server: Server<'a>,
        session: &mut Session,
        what: &str,
        id: &str,
    ) -> Result<Self, BackupError> {
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or("0").to_owned();
        let name = format!("dlc_{what}_{}_{}", part(0, 12), part(24, 32));
        let like = "SELECT concat_ws(' ', 'ENCODING', quote_literal(pg_encoding_to_char(d.encoding)), \
                        'LC_COLLATE', quote_literal(d.datcollate), 'LC_CTYPE', quote_literal(d.datctype), \
                        CASE to_jsonb(d) ->> 'datlocprovider' \
                            WHEN 'c' THEN 'LOCALE_PROVIDER libc' \
                            WHEN 'i' THEN 'LOCALE_PROVIDER icu ICU_LOCALE ' || quote_literal(coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')) \
                            WHEN 'b' THEN 'LOCALE_PROVIDER builtin BUILTIN_LOCALE ' || quote_literal(to_jsonb(d) ->> 'datlocale') \
                        END, 'ICU_RULES ' || quote_literal(to_jsonb(d) ->> 'daticurules'), \
                        (SELECT 'TABLESPACE ' || quote_ident(t.spcname) FROM pg_tablespace t WHERE t.oid = d.dattablespace AND $lies \
                            AND t.oid <> (SELECT dattablespace FROM pg_database WHERE datname = 'template0'))) \
                    FROM pg_database d WHERE d.datname = current_database()";
        // One that stays lies where the other one lay.
        let like = like.replace("$lies", if what == REPLACEMENT { "true" } else { "false" });
        let like = server.text(session, &like).await?;
        let sql = format!("CREATE DATABASE {} TEMPLATE template0 {like}", identifier(&name));
        server.execute(session, &sql).await?;
        Ok(Self {
            options: server.options_of(&name),
            server,
            name,
        })
    }

    pub(super) fn server<'b>(&'b self, places: &'b ProgramPlaces) -> Server<'b> {
        Server {
            options: &self.options,
            places,
        }
    }

    pub(super) async fn remove(&self, session: &mut Session) -> Result<(), BackupError> {
        self.server.drop_database(session, &self.name).await
    }
}
