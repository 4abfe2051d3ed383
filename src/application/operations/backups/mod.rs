//! Backups, what they are worth and how long they are kept: what `dlc db backup`, `verify` and `restore` decide.
//!
//! A backup is one file, and a manifest beside it that tells what must be found in it. It counts when it was restored and found
//! to be that. Not here: how a database is copied and restored (`ports/backups` and behind it), and what is told of it.

pub(crate) mod manifest;
pub(crate) mod retention;

use std::path::PathBuf;

use chrono::{DateTime, Utc};

pub use manifest::{Contents, Difference, MANIFEST_SCHEMA, Manifest, TableContents};
pub use retention::{Kept, expired};

use crate::ports::backups::{BackupError, BackupRequest, DatabaseBackups, Observer, RestoreRequest};

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The file.
    pub file: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
    /// Why the database does not know of it; `None`: it does.
    pub unrecorded: Option<String>,
}

/// Makes a backup, and tells the database of it.
///
/// # Errors
/// [`BackupError`]; then nothing is left behind.
pub async fn back_up(
    backups: &dyn DatabaseBackups,
    request: &BackupRequest,
    observer: &Observer,
) -> Result<Made, BackupError> {
    let (file, manifest) = backups.make(request, observer).await?;
    // A backup that nobody noted is a backup all the same.
    let unrecorded = backups.record(&file, &manifest).await.err();
    Ok(Made {
        file,
        manifest,
        unrecorded,
    })
}

/// A backup that was restored, compared and audited.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What is in it, and since when that is known.
    pub manifest: Manifest,
    /// Whether the configured database knows of this backup; a reason where it could not be told.
    pub recorded: Result<bool, String>,
}

/// Restores a backup into a scratch database, compares and audits that, and notes in the manifest that it was done.
///
/// # Errors
/// [`BackupError`]; the scratch database is gone all the same.
pub async fn verify(
    backups: &dyn DatabaseBackups,
    file: PathBuf,
    now: impl Fn() -> DateTime<Utc>,
    observer: &Observer,
) -> Result<Verified, BackupError> {
    let mut manifest = backups.examine(&file, observer).await?;
    known_to_this_binary(backups, &manifest)?;
    let found = backups.rehearse(&file, &manifest, observer).await?;
    manifest.compare(&found).map_err(BackupError::Differs)?;
    audited(&found)?;
    let at = now();
    manifest.verified_at = Some(at);
    backups.note_verified(&file, &manifest).await?;
    let recorded = backups.record_verified(&manifest).await;
    Ok(Verified { manifest, recorded })
}

/// What a restore is about to do.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What is in the backup.
    pub manifest: Manifest,
    /// The database that is written, redacted.
    pub target: String,
    /// Its name, as somebody types it who means it.
    pub name: String,
    /// What is in it, in words; `None`: nothing.
    pub occupied: Option<String>,
}

/// Looks at backup and target, and writes nothing.
///
/// # Errors
/// Whatever would make the restore fail, as far as that can be seen from here.
pub async fn prepare_restore(
    backups: &dyn DatabaseBackups,
    request: &RestoreRequest,
    observer: &Observer,
) -> Result<Prepared, BackupError> {
    let manifest = backups.examine(&request.file, observer).await?;
    known_to_this_binary(backups, &manifest)?;
    let target = backups.look_at_target(&manifest, request).await?;
    if let (Some(contents), false) = (&target.occupied, request.replace) {
        return Err(BackupError::NotEmpty {
            target: target.shown,
            contents: contents.clone(),
        });
    }
    Ok(Prepared {
        manifest,
        target: target.shown,
        name: target.name,
        occupied: target.occupied,
    })
}

/// Restores a backup. The target is what it was, or is the backup, compared and audited.
///
/// # Errors
/// [`BackupError`]; then the target is what it was.
pub async fn restore(
    backups: &dyn DatabaseBackups,
    request: &RestoreRequest,
    manifest: &Manifest,
    observer: &Observer,
) -> Result<(), BackupError> {
    let acceptable = |found: &Contents| {
        manifest.compare(found).map_err(BackupError::Differs)?;
        // What was wrong in the database already is in each backup of it, and somebody may need just that.
        if manifest.contents.wrong_coupons() == 0 {
            audited(found)?;
        }
        Ok(())
    };
    backups.restore(request, manifest, &acceptable, observer).await
}

fn known_to_this_binary(backups: &dyn DatabaseBackups, manifest: &Manifest) -> Result<(), BackupError> {
    let known = backups.migrations();
    let unknown = |name: &&String| !known.contains(&name.as_str());
    let newer: Vec<String> = manifest.contents.migrations.iter().filter(unknown).cloned().collect();
    if newer.is_empty() {
        Ok(())
    } else {
        Err(BackupError::Newer {
            dlc_version: manifest.dlc_version.clone(),
            migrations: newer,
        })
    }
}

fn audited(found: &Contents) -> Result<(), BackupError> {
    match found.wrong_coupons() {
        0 => Ok(()),
        wrong => Err(BackupError::BooksWrong(wrong)),
    }
}
