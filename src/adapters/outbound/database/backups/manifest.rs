//! Manifests as they are written: JSON with a version of its shape. Not here: what they mean.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use dlc_application::{
    operations::{
        backups::{Contents, MANIFEST_SCHEMA, Manifest, TableContents},
        books::Books,
    },
    ports::{
        backups::{BackupError, manifest_of},
        inspection::Engine,
    },
};
use serde_json::{Map, Value, json};

use super::files::{self, Part, failed};

/// Longer ones are none.
const LONGEST: u64 = 64 << 20;

/// Writes the manifest of a backup; whole, or not at all. `replace`: there is one already.
pub(super) fn write(file: &Path, manifest: &Manifest, replace: bool) -> Result<(), BackupError> {
    let path = manifest_of(file);
    let mut part = Part::begin(&path)?;
    part.write(&format!("{:#}\n", as_json(file, manifest)))?;
    if replace {
        // Whoever verifies need not be whose it is: root, say.
        files::take_after(&path, &part)?;
    }
    part.finish(&path, replace)
}

/// Reads the manifest of a backup.
pub(super) fn read(file: &Path) -> Result<Manifest, BackupError> {
    let path = manifest_of(file);
    let invalid = |cause: String| BackupError::ManifestInvalid {
        path: path.clone(),
        cause,
    };
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => BackupError::NoManifest(file.to_path_buf()),
        _ => failed("cannot read the manifest", &path, &error),
    };
    if fs::metadata(&path).map_err(unreadable)?.len() > LONGEST {
        return Err(invalid("it is too long to be one".to_owned()));
    }
    let text = fs::read(&path).map_err(unreadable)?;
    let value: Value = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
    match value["schema"].as_u64() {
        Some(schema) if schema > MANIFEST_SCHEMA => Err(BackupError::ManifestNewer {
            path: path.clone(),
            schema,
            known: MANIFEST_SCHEMA,
        }),
        Some(_) => from_json(&value).ok_or_else(|| invalid("something is missing or of another type".to_owned())),
        None => Err(invalid("it has no version".to_owned())),
    }
}

pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

pub(crate) fn as_json(file: &Path, manifest: &Manifest) -> Value {
    let contents = &manifest.contents;
    let tables: Map<String, Value> = contents
        .tables
        .iter()
        .map(|(name, table)| (name.clone(), json!({"rows": table.rows, "hash": table.hash})))
        .collect();
    let books = contents
        .books
        .as_ref()
        .map(|books| json!({"coupons": books.coupons, "claims": books.claims, "wrong": books.wrong}));
    json!({
        "schema": MANIFEST_SCHEMA,
        "id": manifest.id,
        "file": file.file_name().map(|name| name.to_string_lossy()),
        "engine": manifest.engine.name(),
        "database": manifest.database,
        "dlc_version": manifest.dlc_version,
        "server_version": manifest.server_version,
        "program": manifest.program,
        "started_at": time(manifest.started_at),
        "snapshot_at": time(manifest.snapshot_at),
        "duration_ms": u64::try_from(manifest.took.as_millis()).unwrap_or(u64::MAX),
        "size": manifest.size,
        "sha256": manifest.sha256,
        "migrations": contents.migrations,
        "tables": tables,
        "audit": books,
        "verified_at": manifest.verified_at.map(time),
    })
}

pub(crate) fn from_json(value: &Value) -> Option<Manifest> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let at = |name: &str| value[name].as_str()?.parse::<DateTime<Utc>>().ok();
    let migrations = value["migrations"].as_array()?.iter();
    let mut tables = BTreeMap::new();
    for (name, table) in value["tables"].as_object()? {
        let table = TableContents {
            rows: table["rows"].as_u64()?,
            hash: table["hash"].as_str()?.to_owned(),
        };
        tables.insert(name.clone(), table);
    }
    let audit = &value["audit"];
    let books = if audit.is_null() {
        None
    } else {
        Some(Books {
            coupons: audit["coupons"].as_u64()?,
            claims: audit["claims"].as_u64()?,
            wrong: audit["wrong"].as_u64()?,
            told: Vec::new(),
        })
    };
    Some(Manifest {
        id: text("id")?,
        engine: match value["engine"].as_str()? {
            "sqlite" => Engine::Sqlite,
            "postgres" => Engine::Postgres,
            _ => return None,
        },
        database: text("database")?,
        dlc_version: text("dlc_version")?,
        server_version: text("server_version")?,
        program: text("program")?,
        started_at: at("started_at")?,
        snapshot_at: at("snapshot_at")?,
        took: Duration::from_millis(value["duration_ms"].as_u64()?),
        size: value["size"].as_u64()?,
        sha256: text("sha256")?,
        contents: Contents {
            migrations: migrations
                .map(|name| name.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
            tables,
            books,
        },
        verified_at: if value["verified_at"].is_null() {
            None
        } else {
            Some(at("verified_at")?)
        },
    })
}
