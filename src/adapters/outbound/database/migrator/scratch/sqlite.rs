//! Watching a statement by SQLite's own program for it (`EXPLAIN`): a table is read when a cursor on it is rewound, and
//! written anew when rows are inserted in such a loop.

use std::collections::{BTreeMap, BTreeSet};

use dlc_application::operations::migrate::LockMode;

use super::Touch;
use crate::session::{Session, Texts};

pub(super) async fn rehearse(session: &mut Session, statement: &str) -> Result<Vec<Touch>, sqlx::Error> {
    let roots = session
        .rows(
            "SELECT CAST(rootpage AS text), name FROM sqlite_master WHERE type = 'table' AND rootpage > 0",
            &[],
        )
        .await?;
    let roots: BTreeMap<String, String> = roots
        .into_iter()
        .filter_map(|row| {
            let [root, name] = <[_; 2]>::try_from(row).ok()?;
            Some((root?, name?))
        })
        .collect();
    let program = session.rows(&format!("EXPLAIN {statement}"), &[]).await?;
    let touches = read(&program, &roots);
    session.execute(statement).await?;
    Ok(touches)
}

/// The columns of `EXPLAIN`: addr, opcode, p1, p2, p3, p4, p5, comment.
fn read(program: &[Texts], roots: &BTreeMap<String, String>) -> Vec<Touch> {
    let text = |row: &Texts, column: usize| row.get(column).cloned().flatten().unwrap_or_default();
    let mut cursors: BTreeMap<String, &str> = BTreeMap::new();
    let (mut scanned, mut written, mut dropped) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in program {
        let (opcode, cursor, root) = (text(row, 1), text(row, 2), text(row, 3));
        match opcode.as_str() {
            // p3 is the database: 0 is the main one.
            "OpenRead" | "OpenWrite" if text(row, 4) == "0" => {
                if let Some(table) = roots.get(&root) {
                    cursors.insert(cursor, table);
                }
            }
            "Rewind" | "Last" => scanned.extend(cursors.get(&cursor)),
            "Insert" | "Delete" => written.extend(cursors.get(&cursor)),
            "Destroy" => dropped.extend(roots.get(&cursor).map(String::as_str)),
            _ => {}
        }
    }
    let tables: BTreeSet<&str> = scanned.iter().chain(&written).chain(&dropped).copied().collect();
    tables
        .into_iter()
        .filter(|table| !table.starts_with("sqlite_"))
        .map(|table| Touch {
            table: table.to_owned(),
            lock: LockMode::Writer,
            // Rows that are written because rows are read: of the same table, or of the one that is copied.
            rewrites: written.contains(table) && !scanned.is_empty(),
            scans: scanned.contains(table),
        })
        .collect()
}
