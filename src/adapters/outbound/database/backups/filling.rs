//! An empty database is filled with what is in a backup, in one transaction. Not here: which database, and what becomes of it.

use std::{ffi::OsString, path::Path};

use dlc_application::{
    operations::backups::Manifest,
    ports::backups::{BackupError, Observer},
};

use super::{
    programs::{self, Program},
    running::Run,
    server::Server,
};
use crate::session::Session;

/// Before it makes anything `pg_restore` sets this, from the version of the server on that has it; but also where an older server does
/// not know it, and there that is an error.
const SET_AT_FIRST: (&str, u32) = ("transaction_timeout", 17);

/// What can read a backup, and write to a server.
#[derive(Debug)]
pub(super) struct Filler {
    reader: Program,
    /// Runs the reader's script on a server that the reader does not get along with.
    writer: Option<Program>,
}

impl Server<'_> {
    /// The programs that can read this backup, and write to this server.
    pub(super) async fn filler(&self, session: &mut Session, manifest: &Manifest) -> Result<Filler, BackupError> {
        let server = self.major(session).await?;
        let leading = |text: &str| -> u32 {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or_default()
        };
        let backup = leading(&manifest.server_version);
        if backup > server {
            return Err(BackupError::OlderServer {
                backup,
                server,
                target: self.options.url.redacted().to_owned(),
            });
        }
        let maker = manifest.program.strip_prefix("pg_dump ").map_or(0, leading);
        let reader = programs::find(self.places, "pg_restore", server.max(maker)).await?;
        let (_, since) = SET_AT_FIRST;
        let writer = if server < since && reader.major() >= since {
            // As new as the reader: a script has commands for psql in it, and some came with a minor version.
            Some(programs::find(self.places, "psql", reader.major()).await?)
        } else {
            None
        };
        Ok(Filler { reader, writer })
    }

    /// Restores into this database. It is a whole transaction, or nothing.
    pub(super) async fn fill(
        &self,
        filler: &Filler,
        file: &Path,
        more: &[&str],
        observer: &Observer,
    ) -> Result<(), BackupError> {
        let options = [
            "--exit-on-error",
            "--single-transaction",
            "--no-owner",
            "--no-privileges",
        ];
        let mut arguments: Vec<OsString> = options.iter().chain(more).map(OsString::from).collect();
        let turn = || observer.observe("restoring", 0, None);
        let run = |program, arguments| Run {
            program,
            places: self.places,
            url: &self.options.url,
            arguments,
            file: None,
        };
        let Some(writer) = &filler.writer else {
            let escaped = self.database_name().replace('\\', "\\\\").replace('\'', "\\'");
            arguments.push(format!("--dbname=dbname='{escaped}'").into());
            arguments.push(file.into());
            return run(&filler.reader, arguments).finish(observer, turn).await;
        };
        arguments.extend(["--file=-".into(), file.into()]);
        // An error is where the script ends, and what was done until then is gone: its end is COMMIT. Without the values of rows.
        let on_error = [
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--set=VERBOSITY=terse",
            "--file=-",
        ];
        let into = run(writer, on_error.map(OsString::from).to_vec());
        run(&filler.reader, arguments)
            .finish_into(into, SET_AT_FIRST.0, observer, turn)
            .await
    }
}
