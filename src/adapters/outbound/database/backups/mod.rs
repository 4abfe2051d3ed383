//! Backups on both engines: [`SqlBackups`] makes a file and its manifest, restores it, and tells the database of it.
//!
//! SQLite is copied by its backup API (`sqlite`), PostgreSQL by its own programs (`postgres`, `programs`). Not here: what a
//! backup is worth and which may go (`operations/backups`).

mod attributes;
mod contents;
mod emptying;
mod environment;
mod files;
mod filling;
pub(crate) mod manifest;
mod postgres;
mod privileges;
mod programs;
mod replacing;
mod running;
mod scratch;
mod server;
mod sqlite;

use std::{
    ffi::OsStr,
    hash::{BuildHasher, RandomState},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use dlc_application::{
    operations::backups::{Contents, Kept, Manifest},
    ports::{
        backups::{
            Acceptable, BackupError, BackupRequest, DatabaseBackups, Observer, Place, RestoreRequest, Target,
            manifest_of,
        },
        connection::ConnectFailure,
        inspection::Engine,
    },
};
use migration::Migration;

use self::{files::Part, server::Server};
use crate::{
    error,
    options::{DatabaseOptions, companion},
};

pub use programs::ProgramPlaces;

/// [`DatabaseBackups`] on both engines.
#[derive(Clone, Debug)]
pub struct SqlBackups {
    options: DatabaseOptions,
    places: ProgramPlaces,
    migrations: &'static [Migration],
}

impl SqlBackups {
    /// Backups of a database, or on its server; `migrations` are those of this binary.
    #[must_use]
    pub fn new(options: &DatabaseOptions, places: ProgramPlaces, migrations: &'static [Migration]) -> Arc<Self> {
        Arc::new(Self {
            options: options.without_time_limits(),
            places,
            migrations,
        })
    }

    fn engine(&self) -> Engine {
        self.options.url.engine()
    }

    /// The database, for whoever reads it elsewhere: from the file's place alone nobody could tell two of them apart.
    fn shown(&self) -> String {
        match self.options.url.file().map(std::fs::canonicalize) {
            Some(Ok(path)) => format!("sqlite://{}", path.display()),
            _ => self.options.url.redacted().to_owned(),
        }
    }

    fn server(&self) -> Server<'_> {
        Server {
            options: &self.options,
            places: &self.places,
        }
    }

    fn same_engine(&self, manifest: &Manifest) -> Result<(), BackupError> {
        if manifest.engine == self.engine() {
            return Ok(());
        }
        Err(BackupError::OtherEngine {
            backup: manifest.engine,
            target: self.options.url.redacted().to_owned(),
        })
    }

    /// Writes a row of `backups`; whether there was one to be written.
    async fn note(&self, sqlite: &str, postgres: &str, values: &[&str]) -> Result<bool, String> {
        match self.engine() {
            Engine::Sqlite => {
                let path = self.options.sqlite_path().map_err(|e| e.cause)?;
                let (path, sql) = (path.to_path_buf(), sqlite.to_owned());
                let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
                on_a_thread(move || {
                    let values: Vec<&str> = values.iter().map(String::as_str).collect();
                    Ok(sqlite::note(&path, &sql, &values))
                })
                .await
                .map_err(|e| e.to_string())?
            }
            Engine::Postgres => {
                let mut session = self.server().session().await.map_err(|e| e.to_string())?;
                let noted = async {
                    // The backup is there: nobody waits long to be told so.
                    session.execute("BEGIN; SET LOCAL lock_timeout = '5s'").await?;
                    let rows = session.rows(postgres, values).await?;
                    session.execute("COMMIT").await?;
                    Ok(!rows.is_empty())
                }
                .await;
                session.close().await;
                noted.map_err(|e: sqlx::Error| error::words(&e))
            }
        }
    }
}

/// Does something that waits for the disk. A command has one thread, which hears Ctrl-C meanwhile.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(BackupError::Stopped),
    }
}

/// Where a backup goes: the name tells when it was made, and cannot be that of another one.
fn file_of(request: &BackupRequest, engine: Engine) -> PathBuf {
    match &request.to {
        Place::File(path) => path.clone(),
        Place::Directory(directory) => {
            let at = request.started_at.format("%Y%m%dT%H%M%SZ");
            let digits: String = request.id.chars().filter(char::is_ascii_hexdigit).collect();
            let end = digits.get(digits.len().saturating_sub(8)..).unwrap_or_default();
            let ending = match engine {
                Engine::Sqlite => "sqlite3",
                Engine::Postgres => "dump",
            };
            directory.join(format!("dlc-{at}-{end}.{ending}"))
        }
    }
}

#[async_trait]
impl DatabaseBackups for SqlBackups {
    fn migrations(&self) -> Vec<&'static str> {
        self.migrations.iter().map(|migration| migration.name).collect()
    }

    async fn make(&self, request: &BackupRequest, observer: &Observer) -> Result<(PathBuf, Manifest), BackupError> {
        let began = Instant::now();
        let file = file_of(request, self.engine());
        if let Place::Directory(directory) = &request.to {
            // The database is looked at first: a wrong URL makes no directory.
            if self.engine() == Engine::Sqlite {
                let path = self.options.sqlite_path()?;
                if !path.exists() {
                    return Err(error::failed(
                        ConnectFailure::FileMissing,
                        "the file does not exist",
                        &self.options.url,
                    )
                    .into());
                }
            }
            files::make_directory(directory)?;
            files::clear_directory(directory);
        }
        for taken in [file.clone(), manifest_of(&file)] {
            if taken.exists() {
                return Err(BackupError::Exists(taken));
            }
        }
        let part = Part::begin(&file)?;
        let (server_version, program, snapshot_at, contents) = match self.engine() {
            Engine::Postgres => {
                let dumped = self.server().dump(&part.path, observer).await?;
                (
                    dumped.server_version,
                    dumped.program,
                    dumped.snapshot_at,
                    dumped.contents,
                )
            }
            Engine::Sqlite => {
                let (url, source) = (self.options.url.clone(), self.options.sqlite_path()?.to_path_buf());
                let (target, observer) = (part.path.clone(), Arc::clone(observer));
                let (at, contents) = on_a_thread(move || sqlite::copy(&url, &source, &target, &observer)).await?;
                let program = format!("SQLite's backup API {}", sqlite::version());
                (sqlite::version().to_owned(), program, at, contents)
            }
        };
        let (id, started_at, engine) = (request.id.clone(), request.started_at, self.engine());
        let (database, observer) = (self.shown(), Arc::clone(observer));
        on_a_thread(move || {
            let (size, sha256) = files::sum(&part.path, &observer)?;
            let manifest = Manifest {
                id,
                engine,
                database,
                dlc_version: env!("CARGO_PKG_VERSION").to_owned(),
                server_version,
                program,
                started_at,
                snapshot_at,
                took: began.elapsed(),
                size,
                sha256,
                contents,
                verified_at: None,
            };
            part.finish(&file, false)?;
            // A file without a manifest is no backup: it becomes one with this.
            if let Err(e) = manifest::write(&file, &manifest, false) {
                drop(std::fs::remove_file(&file));
                return Err(e);
            }
            Ok((file, manifest))
        })
        .await
    }

    async fn record(&self, file: &Path, manifest: &Manifest) -> Result<(), String> {
        let place = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
        let (place, at, size) = (
            place.display().to_string(),
            manifest::time(manifest.snapshot_at),
            manifest.size.to_string(),
        );
        self.note(
            "INSERT INTO backups (id, created_at, place, size) VALUES (?1, ?2, ?3, CAST(?4 AS INTEGER))",
            "INSERT INTO backups (id, created_at, place, size) \
             VALUES ($1, CAST($2 AS timestamptz), $3, CAST($4 AS bigint)) RETURNING CAST(id AS text)",
            &[&manifest.id, &at, &place, &size],
        )
        .await
        .map(drop)
    }

    async fn examine(&self, file: &Path, observer: &Observer) -> Result<Manifest, BackupError> {
        let (file, observer) = (file.to_path_buf(), Arc::clone(observer));
        on_a_thread(move || {
            let found = match std::fs::metadata(&file) {
                Ok(found) if found.is_file() => found.len(),
                Ok(_) => return Err(BackupError::Missing(file)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(BackupError::Missing(file)),
                Err(e) => return Err(files::failed("cannot read the file", &file, &e)),
            };
            let manifest = manifest::read(&file)?;
            if found != manifest.size {
                return Err(BackupError::OtherSize {
                    path: file,
                    expected: manifest.size,
                    found,
                });
            }
            let (_, sha256) = files::sum(&file, &observer)?;
            if sha256 == manifest.sha256 {
                Ok(manifest)
            } else {
                Err(BackupError::Damaged {
                    path: file,
                    expected: manifest.sha256,
                    found: sha256,
                })
            }
        })
        .await
    }

    async fn rehearse(&self, file: &Path, manifest: &Manifest, observer: &Observer) -> Result<Contents, BackupError> {
        match manifest.engine {
            // Needs nothing but a place for a file.
            Engine::Sqlite => {
                let (file, observer) = (file.to_path_buf(), Arc::clone(observer));
                on_a_thread(move || {
                    let (copy, found) = sqlite::restore_beside(&file, &companion(&file, ".verifying"), &observer)?;
                    drop(copy);
                    Ok(found)
                })
                .await
            }
            Engine::Postgres => {
                self.same_engine(manifest)?;
                // Not the backup's own identity: the same may be verified twice at once.
                let now = chrono::Utc::now().timestamp_millis();
                let id = format!("{now:012x}{:020x}", RandomState::new().hash_one(now) & 0xffff_ffff);
                self.server().rehearse(file, manifest, &id, observer).await
            }
        }
    }

    async fn note_verified(&self, file: &Path, manifest: &Manifest) -> Result<(), BackupError> {
        let (file, manifest) = (file.to_path_buf(), manifest.clone());
        on_a_thread(move || manifest::write(&file, &manifest, true)).await
    }

    async fn record_verified(&self, manifest: &Manifest) -> Result<bool, String> {
        if self.same_engine(manifest).is_err() {
            return Ok(false);
        }
        let at = manifest.verified_at.map(manifest::time).unwrap_or_default();
        self.note(
            "UPDATE backups SET verified_at = ?2 WHERE id = ?1",
            "UPDATE backups SET verified_at = CAST($2 AS timestamptz) WHERE id = $1 RETURNING CAST(id AS text)",
            &[&manifest.id, &at],
        )
        .await
    }

    async fn look_at_target(&self, manifest: &Manifest, request: &RestoreRequest) -> Result<Target, BackupError> {
        self.same_engine(manifest)?;
        match self.engine() {
            Engine::Postgres => self.server().target(manifest, request).await,
            Engine::Sqlite => {
                let (url, request) = (self.options.url.clone(), request.clone());
                on_a_thread(move || sqlite::look(&url, &request)).await
            }
        }
    }

    async fn restore(
        &self,
        request: &RestoreRequest,
        manifest: &Manifest,
        acceptable: Acceptable<'_>,
        observer: &Observer,
    ) -> Result<(), BackupError> {
        self.same_engine(manifest)?;
        match self.engine() {
            Engine::Postgres => self.server().restore(request, manifest, acceptable, observer).await,
            Engine::Sqlite => {
                let (url, asked, observer) = (self.options.url.clone(), request.clone(), Arc::clone(observer));
                let (part, found) = on_a_thread(move || sqlite::restore_copy(&url, &asked, &observer)).await?;
                acceptable(&found)?;
                let (url, request) = (self.options.url.clone(), request.clone());
                on_a_thread(move || sqlite::take_its_place(&url, &request, part)).await
            }
        }
    }

    async fn list(&self, directory: &Path) -> Result<Vec<Kept<PathBuf>>, BackupError> {
        let directory = directory.to_path_buf();
        on_a_thread(move || {
            let entries = std::fs::read_dir(&directory);
            let entries = entries.map_err(|e| files::failed("cannot read the directory", &directory, &e))?;
            let mut found = Vec::new();
            for entry in entries.flatten() {
                let path = entry.path();
                let Some(file) = path.as_os_str().as_bytes().strip_suffix(b".json") else {
                    continue;
                };
                let file = PathBuf::from(OsStr::from_bytes(file));
                // What is no manifest of dlc's is somebody else's.
                let Ok(manifest) = manifest::read(&file) else { continue };
                found.push(Kept {
                    whole: std::fs::metadata(&file).is_ok_and(|found| found.len() == manifest.size),
                    which: file,
                    database: manifest.database,
                    snapshot_at: manifest.snapshot_at,
                    verified: manifest.verified_at.is_some(),
                });
            }
            Ok(found)
        })
        .await
    }

    async fn remove(&self, file: &Path) -> Result<(), BackupError> {
        // The manifest last: without it nobody would know that what is left is a backup.
        for path in [file.to_path_buf(), manifest_of(file)] {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(files::failed("cannot remove the file", &path, &e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What is in a database, by the first of its names; `None`: nothing.
fn in_words(names: &[String]) -> Option<String> {
    const NAMED: usize = 3;
    let first = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        more if more > NAMED => Some(format!("it has {first} and {} more", more - NAMED)),
        _ => Some(format!("it has {first}")),
    }
}
