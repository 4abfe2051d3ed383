//! Backups of PostgreSQL: `pg_dump` and the counts look at one exported snapshot. Restored is in one transaction into an empty
//! database, or into a new one beside that takes the name of the old one at the end. Not here: the programs (`programs`).

use std::{ffi::OsString, path::Path};

use chrono::{DateTime, Utc};
use dlc_application::{
    operations::backups::{Contents, Manifest},
    ports::backups::{Acceptable, BackupError, Observer, RestoreRequest, Target},
};

use super::{
    contents::{LARGE_OBJECTS, SAME_FOR_ALL},
    emptying, files,
    filling::Filler,
    programs,
    running::Run,
    scratch::{Scratch, TRIAL},
    server::{NO_EXTENSION, OWN_SCHEMAS, Server, quoted},
};
use crate::session::Session;

/// How a dump begins.
const MARK: &[u8] = b"PGDMP";

/// What a dump tells.
#[derive(Debug)]
pub(super) struct Dumped {
    pub(super) server_version: String,
    pub(super) program: String,
    pub(super) snapshot_at: DateTime<Utc>,
    pub(super) contents: Contents,
}

impl Server<'_> {
    /// Dumps into a file that is there and empty, and tells what is in the database, of the same moment.
    pub(super) async fn dump(&self, part: &Path, observer: &Observer) -> Result<Dumped, BackupError> {
        let mut session = self.session().await?;
        let major = self.major(&mut session).await?;
        // Before the snapshot, which keeps the server from cleaning up.
        let program = programs::find(self.places, "pg_dump", major).await?;
        self.assert_may_read(&mut session).await?;
        self.execute(
            &mut session,
            &format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SAME_FOR_ALL}"),
        )
        .await?;
        let sql = "SELECT pg_export_snapshot(), current_setting('server_version'), \
                   to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let row = session.rows(sql, &[]).await.map_err(|e| self.failed(&e))?;
        let [snapshot, server_version, at] = row
            .into_iter()
            .next()
            .and_then(|row| <[_; 3]>::try_from(row).ok())
            .unwrap_or_default()
            .map(Option::unwrap_or_default);
        let mut into_file = OsString::from("--file=");
        into_file.push(part);
        let run = Run {
            program: &program,
            places: self.places,
            url: &self.options.url,
            arguments: vec![
                "--format=custom".into(),
                format!("--snapshot={snapshot}").into(),
                "--lock-wait-timeout=30s".into(),
                into_file,
            ],
            file: Some(part),
        };
        let told = || {
            let size = std::fs::metadata(part).map_or(0, |found| found.len());
            observer.observe("bytes dumped", size, None);
        };
        // Side by side: the snapshot is held for as long as the slower one takes, not for both.
        let (contents, ()) = tokio::try_join!(
            self.contents_until_stopped(&mut session, observer),
            run.finish(observer, told)
        )
        .map_err(hidden_rows)?;
        self.execute(&mut session, "ROLLBACK").await?;
        session.close().await;
        if !files::begins_with(part, MARK)? {
            return Err(BackupError::ProgramFailed {
                program: program.name,
                cause: "it ended well, and has written no dump".to_owned(),
            });
        }
        Ok(Dumped {
            server_version,
            program: program.shown(),
            snapshot_at: at.parse().unwrap_or_else(|_| Utc::now()),
            contents,
        })
    }

    /// Restores into a scratch database, tells what is in it, and removes it.
    pub(super) async fn rehearse(
        &self,
        file: &Path,
        manifest: &Manifest,
        id: &str,
        observer: &Observer,
    ) -> Result<Contents, BackupError> {
        let mut session = self.session().await?;
        let filler = self.filler(&mut session, manifest).await?;
        self.assert_may_make(&mut session).await?;
        self.remove_abandoned(&mut session).await?;
        let scratch = Scratch::make(*self, &mut session, TRIAL, id).await?;
        let found = async {
            let server = scratch.server(self.places);
            server
                .fill(&filler, file, &["--no-publications", "--no-subscriptions"], observer)
                .await?;
            server.look(observer).await
        }
        .await;
        // Whatever came of it, and whoever wanted it to end.
        let mut session = self.revived(session).await?;
        let removed = scratch.remove(&mut session).await;
        session.close().await;
        let found = found?;
        removed?;
        Ok(found)
    }

    /// What there is in a target.
    pub(super) async fn target(&self, manifest: &Manifest, request: &RestoreRequest) -> Result<Target, BackupError> {
        let mut session = self.session().await?;
        self.filler(&mut session, manifest).await?;
        let occupied = self.occupied(&mut session).await?;
        if occupied.is_none() {
            self.assert_may_fill(&mut session, manifest).await?;
        } else if request.replace {
            self.assert_unused(&mut session).await?;
            self.assert_may_replace(&mut session).await?;
            self.elsewhere().await?.close().await;
        }
        session.close().await;
        Ok(Target {
            shown: self.options.url.redacted().to_owned(),
            name: self.database_name(),
            occupied,
        })
    }

    pub(super) async fn occupied(&self, session: &mut Session) -> Result<Option<String>, BackupError> {
        let sql = format!(
            "SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {OWN_SCHEMAS} AND {NO_EXTENSION} \
             ORDER BY c.relkind = 'S', 1"
        );
        let rows = session.rows(&sql, &[]).await.map_err(|e| self.failed(&e))?;
        let names: Vec<String> = rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
        if names.is_empty() {
            let others = "SELECT CAST(count(*) AS text) FROM (SELECT 1 FROM pg_largeobject_metadata LIMIT 1) s";
            let is_empty = self.text(session, others).await? == "0";
            return Ok((!is_empty).then(|| format!("it has {LARGE_OBJECTS}")));
        }
        Ok(super::in_words(&names))
    }

    pub(super) async fn assert_unused(&self, session: &mut Session) -> Result<(), BackupError> {
        let sql = "SELECT CAST(count(*) AS text), string_agg(DISTINCT coalesce(nullif(application_name, ''), 'somebody'), ', ') \
                   FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                   AND backend_type = 'client backend'";
        let rows = session.rows(sql, &[]).await.map_err(|e| self.failed(&e))?;
        match rows.into_iter().next().and_then(|row| <[_; 2]>::try_from(row).ok()) {
            Some([Some(number), Some(who)]) if number != "0" => {
                return Err(self.in_use(format!("{number} sessions: {who}")));
            }
            _ => {}
        }
        // Of no session any more, and in the way of another name all the same.
        let sql = "SELECT string_agg(quote_literal(gid), ', ' ORDER BY prepared) FROM pg_prepared_xacts \
                   WHERE database = current_database()";
        let rows = session.rows(sql, &[]).await.map_err(|e| self.failed(&e))?;
        match rows.into_iter().next().and_then(|mut row| row.pop().flatten()) {
            Some(prepared) => Err(self.in_use(format!(
                "prepared transactions wait there for COMMIT PREPARED or ROLLBACK PREPARED: {prepared}"
            ))),
            None => Ok(()),
        }
    }

    /// Restores into a target, which is what it was until the last moment.
    pub(super) async fn restore(
        &self,
        request: &RestoreRequest,
        manifest: &Manifest,
        acceptable: Acceptable<'_>,
        observer: &Observer,
    ) -> Result<(), BackupError> {
        let mut session = self.session().await?;
        let filler = self.filler(&mut session, manifest).await?;
        match self.occupied(&mut session).await? {
            None => {
                self.restore_into_nothing(session, &filler, request, manifest, acceptable, observer)
                    .await
            }
            Some(contents) if !request.replace => Err(BackupError::NotEmpty {
                target: self.options.url.redacted().to_owned(),
                contents,
            }),
            Some(_) => self.replace(session, &filler, request, acceptable, observer).await,
        }
    }

    async fn restore_into_nothing(
        &self,
        mut session: Session,
        filler: &Filler,
        request: &RestoreRequest,
        manifest: &Manifest,
        acceptable: Acceptable<'_>,
        observer: &Observer,
    ) -> Result<(), BackupError> {
        // What a service that waits for its tables would write as soon as they are there is nobody's to take back.
        self.assert_unused(&mut session).await?;
        // What is there already stays there, whatever happens.
        let there = self.text(&mut session, emptying::NAMES_OF_WHAT_STAYS).await?;
        let filled = self.fill(filler, &request.file, &[], observer).await;
        if filled.is_err() {
            // It is one transaction, so that none of this is the restore's, unless that was kept in the very moment in which it ended.
            if let Ok(mut session) = self.revived(session).await {
                if let Ok(Some(found)) = self.occupied(&mut session).await {
                    tracing::warn!("{found} is there now, and stays: look whose it is");
                }
                session.close().await;
            }
            return filled;
        }
        let verdict = self.look(observer).await.and_then(|found| acceptable(&found));
        if verdict.is_err() {
            session = self.revived(session).await?;
            match self.others(&mut session, manifest).await? {
                None => self.execute(&mut session, &emptying::empty_again(&there)).await?,
                Some(others) => tracing::warn!("what was restored stays there, because it is used already: {others}"),
            }
        }
        session.close().await;
        verdict
    }

    /// Who uses a database that was empty a moment ago, or what they have made there.
    async fn others(&self, session: &mut Session, manifest: &Manifest) -> Result<Option<String>, BackupError> {
        match self.assert_unused(session).await {
            Err(BackupError::InUse { by, .. }) => return Ok(Some(by)),
            asked => asked?,
        }
        let own = manifest.contents.tables.keys();
        let own: String = own.map(|name| format!(", '{}'", quoted(name))).collect();
        let sql = format!(
            "SELECT string_agg(format('%s.%s', n.nspname, c.relname), ', ') \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND {OWN_SCHEMAS} AND {NO_EXTENSION} \
               AND format('%s.%s', n.nspname, c.relname) NOT IN (''{own})"
        );
        session.text(&sql, &[]).await.map_err(|e| self.failed(&e))
    }
}

/// The tables may be read; what hides rows of them is known when they are.
fn hidden_rows(error: BackupError) -> BackupError {
    match error {
        BackupError::Privilege { cause, .. } => BackupError::Privilege {
            what: "this role may not read everything".to_owned(),
            cause,
            grant: "GRANT pg_read_all_data TO … (and BYPASSRLS, where rows are hidden), or back up as the owner: \
                    DLC_DATABASE__MIGRATION_URL"
                .to_owned(),
        },
        other => other,
    }
}
