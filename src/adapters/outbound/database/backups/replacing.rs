//! A database that is replaced: by a new one beside it, which takes its name at the end. Not here: how that is filled (`postgres`).

use dlc_application::ports::backups::{Acceptable, BackupError, Observer, RestoreRequest};

use super::{
    filling::Filler,
    postgres::{Server, identifier, quoted},
    scratch::Scratch,
};
use crate::{error, session::Session};

impl Server<'_> {
    /// Into a new database on the same server, which takes the name of the old one in one transaction.
    pub(super) async fn replace(
        &self,
        mut session: Session,
        filler: &Filler,
        request: &RestoreRequest,
        acceptable: Acceptable<'_>,
        observer: &Observer,
    ) -> Result<(), BackupError> {
        self.assert_unused(&mut session).await?;
        // Where there is no such way, nothing is begun.
        let mut elsewhere = self.elsewhere().await?;
        let scratch = Scratch::make(*self, &mut session, "restore", &request.id).await?;
        let filled = async {
            let server = scratch.server(self.places);
            server.fill(filler, &request.file, &[], observer).await?;
            acceptable(&server.look(observer).await?)?;
            if observer.is_stopped() {
                return Err(BackupError::Stopped);
            }
            Ok(())
        }
        .await;
        // Nobody may be connected to a database that gets another name, not even whoever renames it.
        let (name, old) = (self.database_name(), format!("{}_replaced", scratch.name));
        let swapped = match filled {
            Ok(()) => {
                session.close().await;
                self.swap(&mut elsewhere, &name, &old, &scratch.name).await
            }
            Err(e) => {
                session.close().await;
                Err(e)
            }
        };
        let left = if swapped.is_ok() { &old } else { &scratch.name };
        let removed = self.drop_database(&mut elsewhere, left).await;
        elsewhere.close().await;
        swapped?;
        if let Err(e) = removed {
            tracing::warn!("the database that was replaced is still there, as {old}: {e}");
        }
        Ok(())
    }

    pub(super) async fn swap(
        &self,
        session: &mut Session,
        name: &str,
        old: &str,
        new: &str,
    ) -> Result<(), BackupError> {
        let owner = format!(
            "SELECT format('ALTER DATABASE %I OWNER TO %I', '{}', r.rolname) FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba \
             WHERE d.datname = '{}' AND r.rolname <> current_user",
            quoted(new),
            quoted(name)
        );
        let owner = self.text(session, &owner).await?;
        if !owner.is_empty() {
            self.execute(session, &owner).await?;
        }
        let [name, old, new] = [name, old, new].map(identifier);
        let swap =
            format!("BEGIN; ALTER DATABASE {name} RENAME TO {old}; ALTER DATABASE {new} RENAME TO {name}; COMMIT");
        if let Err(e) = session.execute(&swap).await {
            session.execute("ROLLBACK").await.map_err(|e| self.failed(&e))?;
            // object_in_use
            if error::words(&e).contains("is being accessed by other users") {
                return Err(self.in_use("somebody has connected meanwhile".to_owned()));
            }
            return Err(self.failed(&e));
        }
        Ok(())
    }

    /// A session in another database of the same server.
    pub(super) async fn elsewhere(&self) -> Result<Session, BackupError> {
        let mut last = None;
        for name in ["postgres", "template1"] {
            let options = self.options_of(name);
            match options.postgres_session().await {
                Ok(session) => return Ok(Session::Postgres(session)),
                Err(e) => last = Some(e),
            }
        }
        Err(last.map_or(BackupError::Stopped, BackupError::Connect))
    }
}
