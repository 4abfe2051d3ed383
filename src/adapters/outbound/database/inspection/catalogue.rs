//! The live schema as SQL text, in one normal form: for the snapshots in `migration/` and for comparisons.
//!
//! PostgreSQL's is put together from its catalogue, without names that differ between servers; SQLite keeps the
//! statements themselves. The history table is left out: it belongs to the runner.

use dlc_application::ports::{inspection::Engine, migrations::MigrateError};
use sqlx::{Connection, PgConnection, Row};

use crate::{
    connection::{DatabaseOptions, read_only_options},
    error,
};

/// Every table, its constraints and its indexes, sorted by name.
///
/// # Errors
/// When the database cannot be read.
pub async fn catalogue(options: &DatabaseOptions) -> Result<String, MigrateError> {
    let failed = |e: sqlx::Error| error::migrate_sqlx(&e, None);
    match options.url.engine() {
        Engine::Postgres => {
            let mut session = options.postgres_session().await?;
            let text = postgres(&mut session).await.map_err(failed)?;
            drop(session.close().await);
            Ok(text)
        }
        Engine::Sqlite => {
            let pool = options
                .sqlite_pool(read_only_options(options.sqlite_path()?), 1)
                .await?;
            let rows = sqlx::query(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' \
                 AND tbl_name <> 'seaql_migrations' ORDER BY tbl_name, type DESC, name",
            )
            .fetch_all(&pool)
            .await
            .map_err(failed)?;
            pool.close().await;
            Ok(rows
                .iter()
                .map(|row| format!("{};\n", row.get::<String, _>(0)))
                .collect::<Vec<_>>()
                .join("\n"))
        }
    }
}

async fn postgres(session: &mut PgConnection) -> Result<String, sqlx::Error> {
    let tables = sqlx::query(
        "SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace \
         AND c.relkind IN ('r', 'p') AND c.relname <> 'seaql_migrations' ORDER BY c.relname",
    )
    .fetch_all(&mut *session)
    .await?;
    let mut texts = Vec::with_capacity(tables.len());
    for table in &tables {
        let oid: sqlx::postgres::types::Oid = table.get(0);
        let name: String = table.get(1);
        let columns = sqlx::query(
            "SELECT concat(a.attname, ' ', format_type(a.atttypid, a.atttypmod), \
                    CASE WHEN a.attnotnull THEN ' NOT NULL' END, ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)) \
             FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        )
        .bind(oid)
        .fetch_all(&mut *session)
        .await?;
        // 'n': PostgreSQL 18 lists NOT NULL as a constraint of its own; the column says it already.
        let constraints = sqlx::query(
            "SELECT concat('CONSTRAINT ', conname, ' ', pg_get_constraintdef(oid)) FROM pg_constraint \
             WHERE conrelid = $1 AND contype <> 'n' \
             ORDER BY array_position('{p,u,c,f}'::\"char\"[], contype), conname",
        )
        .bind(oid)
        .fetch_all(&mut *session)
        .await?;
        let lines: Vec<String> = columns
            .iter()
            .chain(&constraints)
            .map(|row| format!("    {}", row.get::<String, _>(0)))
            .collect();
        let mut text = format!("CREATE TABLE {name} (\n{}\n);\n", lines.join(",\n"));
        let indexes = sqlx::query(
            "SELECT replace(pg_get_indexdef(i.indexrelid), current_schema() || '.', '') FROM pg_index i \
             JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 \
             AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid) ORDER BY c.relname",
        )
        .bind(oid)
        .fetch_all(&mut *session)
        .await?;
        for index in &indexes {
            text.push_str(&format!("{};\n", index.get::<String, _>(0)));
        }
        texts.push(text);
    }
    Ok(texts.join("\n"))
}
