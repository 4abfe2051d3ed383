//! A database that is replaced: by a new one beside it, which takes its name at the end. Not here: how that is filled (`filling`).

use dlc_application::ports::backups::{Acceptable, BackupError, Observer, RestoreRequest};

use super::{
    filling::Filler,
    scratch::{REPLACEMENT, Scratch},
    server::{Server, identifier},
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
        self.assert_may_replace(&mut session).await?;
        // Where there is no such way, nothing is begun.
        let mut elsewhere = self.elsewhere().await?;
        self.remove_abandoned(&mut session).await?;
        let scratch = Scratch::make(*self, &mut session, REPLACEMENT, &request.id).await?;
        let filled = async {
            let attributes = self.attributes(&mut session, &scratch.name).await?;
            self.rehearse_attributes(&mut elsewhere, &attributes).await?;
            // Nobody may be connected to a database that gets another name, not even whoever renames it.
            session.close().await;
            let server = scratch.server(self.places);
            server.fill(filler, &request.file, &[], observer).await?;
            acceptable(&server.look(observer).await?)?;
            if observer.is_stopped() {
                return Err(BackupError::Stopped);
            }
            // As it is now.
            let mut session = self.session().await?;
            let attributes = self.attributes(&mut session, &scratch.name).await?;
            session.close().await;
            Ok(attributes)
        }
        .await;
        // That took a while.
        let is_alive = elsewhere.execute("SELECT 1").await.is_ok();
        let mut elsewhere = if is_alive { elsewhere } else { self.elsewhere().await? };
        let old = format!("{}_replaced", scratch.name);
        let swapped = match filled {
            Ok(attributes) => self.swap(&mut elsewhere, &attributes, &old, &scratch.name).await,
            Err(e) => Err(e),
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

    async fn swap(
        &self,
        session: &mut Session,
        attributes: &[String],
        old: &str,
        new: &str,
    ) -> Result<(), BackupError> {
        let [name, old, new] = [&self.database_name(), old, new].map(identifier);
        let mut swap = vec!["BEGIN"];
        swap.extend(attributes.iter().map(String::as_str));
        let rename = format!("ALTER DATABASE {name} RENAME TO {old}; ALTER DATABASE {new} RENAME TO {name}");
        swap.extend([rename.as_str(), "COMMIT"]);
        for statement in swap {
            let Err(e) = session.execute(statement).await else {
                continue;
            };
            drop(session.execute("ROLLBACK").await);
            if error::is_in_use(&e) {
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
            match self.session_of(&self.options_of(name)).await {
                Ok(session) => return Ok(session),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or(BackupError::Stopped))
    }
}
