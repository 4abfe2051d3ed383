//! `dlc db …`: one file per command. Not here: `dlc db check` (`check`).

mod backup;
mod progress;
mod restore;
mod verify;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dlc_application::operations::backups::Manifest;
use serde_json::{Value, json};

use super::{numbers::counted, printer::time};

pub use backup::{backup, place};
pub use restore::{confirm, restore};
pub use verify::verify;

/// Somebody wants the command to end; it cleans up first.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for the end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A backup for programs: what the manifest says, and no list of tables.
fn as_json(file: &std::path::Path, manifest: &Manifest) -> Value {
    json!({
        "id": manifest.id,
        "file": file.display().to_string(),
        "engine": manifest.engine.name(),
        "database": manifest.database,
        "snapshot_at": time(manifest.snapshot_at),
        "size": manifest.size,
        "sha256": manifest.sha256,
        "tables": manifest.contents.tables.len(),
        "rows": manifest.contents.rows(),
        "migrations": manifest.contents.migrations.len(),
        "verified_at": manifest.verified_at.map(time),
    })
}

/// "15 tables, 1204 rows"
fn contents(manifest: &Manifest) -> String {
    let tables = manifest.contents.tables.len() as u64;
    format!(
        "{}, {}",
        counted(tables, "table"),
        counted(manifest.contents.rows(), "row")
    )
}

/// A size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
