//! A server that is backed up or restored to: how it is talked to, and what it is told apart by. Not here: what is asked of it.

use dlc_application::ports::{backups::BackupError, connection::ConnectFailure};

use super::programs::ProgramPlaces;
use crate::{error, options::DatabaseOptions, session::Session};

/// Schemas that are somebody's own.
pub(super) const OWN_SCHEMAS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Not a part of an extension, which brings its own.
pub(super) const NO_EXTENSION: &str = "NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')";

/// What is needed to talk to a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server<'a> {
    pub(super) options: &'a DatabaseOptions,
    pub(super) places: &'a ProgramPlaces,
}

impl Server<'_> {
    pub(super) fn failed(&self, error: &sqlx::Error) -> BackupError {
        let failure = error::connect_failure(error);
        match failure {
            ConnectFailure::Other => BackupError::Database {
                target: self.options.url.redacted().to_owned(),
                cause: error::words(error),
                failure,
            },
            ConnectFailure::Privilege => BackupError::Privilege {
                what: format!("this role lacks a privilege in {}", self.options.url.redacted()),
                cause: error::words(error),
                grant: "ask the owner of the database for it, or name a role that has it: DLC_DATABASE__MIGRATION_URL"
                    .to_owned(),
            },
            _ => error::failed(failure, error::words(error), &self.options.url).into(),
        }
    }

    pub(super) async fn session(&self) -> Result<Session, BackupError> {
        self.session_of(self.options).await
    }

    /// A session that may lie idle for as long as a program works, and make what is needed, whatever a role or a database has by
    /// default.
    pub(super) async fn session_of(&self, options: &DatabaseOptions) -> Result<Session, BackupError> {
        let mut session = Session::Postgres(options.postgres_session().await?);
        // Older servers do not know the one.
        let unlimited = "SELECT set_config(name, CASE name WHEN 'idle_session_timeout' THEN '0' ELSE 'off' END, false) FROM pg_settings \
                         WHERE name IN ('idle_session_timeout', 'default_transaction_read_only')";
        self.execute(&mut session, unlimited).await?;
        Ok(session)
    }

    /// The same session, or another one where that was ended meanwhile: what was begun has to be cleaned up all the same.
    pub(super) async fn revived(&self, mut session: Session) -> Result<Session, BackupError> {
        match session.execute("SELECT 1").await {
            Ok(()) => Ok(session),
            Err(_) => self.session().await,
        }
    }

    pub(super) async fn text(&self, session: &mut Session, sql: &str) -> Result<String, BackupError> {
        let text = session.text(sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(text.unwrap_or_default())
    }

    pub(super) async fn execute(&self, session: &mut Session, sql: &str) -> Result<(), BackupError> {
        session.execute(sql).await.map_err(|e| self.failed(&e))
    }

    pub(super) async fn major(&self, session: &mut Session) -> Result<u32, BackupError> {
        let number = self
            .text(session, "SELECT current_setting('server_version_num')")
            .await?;
        Ok(number.parse::<u32>().unwrap_or_default() / 10_000)
    }

    pub(super) fn database_name(&self) -> String {
        let options = self.options.url.postgres_options();
        options
            .and_then(|options| options.get_database().map(str::to_owned))
            .unwrap_or_default()
    }

    pub(super) fn in_use(&self, by: String) -> BackupError {
        BackupError::InUse {
            target: self.options.url.redacted().to_owned(),
            by,
        }
    }
}

/// Text within quotation marks.
pub(super) fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// A name as it is written.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
