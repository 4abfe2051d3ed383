//! The history table, `seaql_migrations`: SeaORM's own shape, so that its tools read it too.

use chrono::{DateTime, Utc};
use dlc_application::operations::migrate::History;
use migration::MIGRATIONS;
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

/// Makes the table, under the migration lock.
pub(super) async fn install(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    connection
        .execute_unprepared(
            "CREATE TABLE IF NOT EXISTS seaql_migrations \
             (version varchar NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)",
        )
        .await
        .map(|_| ())
}

/// Reads the table without writing anything, not even the table.
pub(crate) async fn read(connection: &impl ConnectionTrait) -> Result<History, DbErr> {
    let backend = connection.get_database_backend();
    let exists = match backend {
        DatabaseBackend::Sqlite => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'",
        _ => "SELECT 1 WHERE to_regclass('seaql_migrations') IS NOT NULL",
    };
    let known: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.name).collect();
    if connection
        .query_one_raw(Statement::from_string(backend, exists))
        .await?
        .is_none()
    {
        return Ok(History::compare(&known, None));
    }
    let rows = connection
        .query_all_raw(Statement::from_string(
            backend,
            "SELECT version, applied_at FROM seaql_migrations",
        ))
        .await?;
    let mut applied: Vec<(String, DateTime<Utc>)> = Vec::with_capacity(rows.len());
    for row in &rows {
        let seconds: i64 = row.try_get_by_index(1)?;
        applied.push((
            row.try_get_by_index(0)?,
            DateTime::from_timestamp(seconds, 0).unwrap_or_default(),
        ));
    }
    Ok(History::compare(&known, Some(&applied)))
}

/// Notes a migration as applied. The time is the database's, so that instances with different clocks agree.
pub(super) async fn record(connection: &impl ConnectionTrait, version: &str) -> Result<(), DbErr> {
    let now = match connection.get_database_backend() {
        DatabaseBackend::Sqlite => "CAST(strftime('%s', 'now') AS INTEGER)",
        _ => "CAST(extract(epoch FROM clock_timestamp()) AS bigint)",
    };
    let sql = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ($1, {now})");
    execute(connection, &sql, version).await
}

/// Notes a migration as not applied.
pub(super) async fn forget(connection: &impl ConnectionTrait, version: &str) -> Result<(), DbErr> {
    execute(connection, "DELETE FROM seaql_migrations WHERE version = $1", version).await
}

async fn execute(connection: &impl ConnectionTrait, sql: &str, version: &str) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, [version.into()]);
    connection.execute_raw(statement).await.map(|_| ())
}
