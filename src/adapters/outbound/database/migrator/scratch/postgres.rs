//! Watching a statement on temporary tables. The locks that a statement takes, the scans and the rewrites that it makes do
//! not depend on a table's being temporary or empty.

use std::collections::BTreeMap;

use dlc_application::operations::migrate::LockMode;

use super::Touch;
use crate::{error, session::Session};

/// A table at one moment.
struct Table {
    name: String,
    /// Another file is another copy of every row.
    file: Option<String>,
    /// Scans so far; the server counts them over several transactions.
    scans: Option<String>,
}

/// The tables of the copy, by number.
async fn tables(session: &mut Session) -> Result<BTreeMap<String, Table>, sqlx::Error> {
    let sql = "SELECT CAST(oid AS text), CAST(relname AS text), CAST(pg_relation_filenode(oid) AS text), \
                      CAST(pg_stat_get_xact_numscans(oid) AS text) FROM pg_class \
               WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r', 'p')";
    let rows = session.rows(sql, &[]).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let [oid, name, file, scans] = <[_; 4]>::try_from(row).ok()?;
            let name = name?;
            Some((oid?, Table { name, file, scans }))
        })
        .collect())
}

pub(super) async fn rehearse(session: &mut Session, statement: &str) -> Result<Vec<Touch>, String> {
    if cannot_run_in_a_transaction(statement) {
        // On a temporary table the server builds an index at once, whatever was asked for.
        session.execute(statement).await.map_err(|e| error::words(&e))?;
        return Ok(Vec::new());
    }
    let watched = async {
        session.execute("BEGIN").await?;
        watch(session, statement).await
    };
    let watched = watched.await.map_err(|e| error::words(&e));
    let touches = watched.and_then(|(touches, beyond)| match beyond {
        None => Ok(touches),
        Some(name) => Err(format!("it takes hold of {name}, which is no part of the copy")),
    });
    // Committed, so that the next statement's locks are its own; but only what stayed within the copy.
    let end = if touches.is_ok() { "COMMIT" } else { "ROLLBACK" };
    session.execute(end).await.map_err(|e| error::words(&e))?;
    touches
}

/// What the statement did to the copy's tables, and what else it took hold of.
async fn watch(session: &mut Session, statement: &str) -> Result<(Vec<Touch>, Option<String>), sqlx::Error> {
    let before = tables(session).await?;
    session.execute(statement).await?;
    let locks = "SELECT CAST(relation AS text), mode FROM pg_locks \
                 WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted";
    let locks = session.rows(locks, &[]).await?;
    let beyond = "SELECT CAST(CAST(l.relation AS regclass) AS text) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
                  WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode <> 'AccessShareLock' \
                    AND c.relnamespace NOT IN (pg_my_temp_schema(), 'pg_catalog'::regnamespace, 'pg_toast'::regnamespace) \
                    AND NOT pg_is_other_temp_schema(c.relnamespace) \
                    AND CAST(c.relnamespace AS regnamespace)::text NOT LIKE 'pg_toast_temp%' LIMIT 1";
    let beyond = session.text(beyond, &[]).await?;
    let after = tables(session).await?;
    let mut touches: BTreeMap<&str, Touch> = BTreeMap::new();
    for row in locks {
        let Ok([Some(oid), Some(mode)]) = <[_; 2]>::try_from(row) else {
            continue;
        };
        // A table that the statement itself has made is nobody else's yet.
        let (Some(table), Some(lock)) = (before.get(&oid), LockMode::of_pg_locks(&mode)) else {
            continue;
        };
        let changed = |what: fn(&Table) -> &Option<String>| after.get(&oid).is_some_and(|now| what(now) != what(table));
        let touch = touches.entry(&table.name).or_insert_with(|| Touch {
            table: table.name.clone(),
            lock,
            rewrites: changed(|table| &table.file),
            scans: changed(|table| &table.scans),
        });
        touch.lock = touch.lock.max(lock);
    }
    let mut touches: Vec<Touch> = touches
        .into_values()
        // A mere look at a table's definition keeps nobody waiting and costs nothing.
        .filter(|touch| touch.lock > LockMode::RowShare || touch.scans)
        .collect();
    touches.sort_by(|a, b| b.lock.cmp(&a.lock).then_with(|| a.table.cmp(&b.table)));
    Ok((touches, beyond))
}

/// Statements that PostgreSQL refuses in a transaction block.
pub(in super::super) fn cannot_run_in_a_transaction(statement: &str) -> bool {
    let words = statement.to_uppercase();
    let words: Vec<&str> = words.split_whitespace().collect();
    words.contains(&"CONCURRENTLY") || matches!(words.first(), Some(&"VACUUM" | &"REINDEX" | &"CLUSTER"))
}
