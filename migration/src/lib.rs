//! The schema of dlc: one file per migration, in time sequence, each with the SQL of both engines written out.
//!
//! The SQL is data, not code, so that one place answers every question about it: the runner executes it statement by
//! statement, a plan prints it, a checksum covers it. [`Migrator`] offers the same migrations to SeaORM's own tools.
//!
//! Not here: locking, history, transactions. Those are the runner's (`dlc-database`, `migrator/`).

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    sea_orm::{ConnectionTrait, DatabaseBackend},
};

mod m20261121_000001_create_bootstrap_metadata;
mod m20261121_000002_create_users;
mod m20261121_000003_create_greet_history;
mod m20261121_000004_create_coupons;
mod m20261121_000005_create_claims;
mod m20261121_000006_create_idempotency_keys;
mod m20261121_000007_create_token_versions;
mod m20261121_000008_create_sessions;
mod m20261121_000009_create_refresh_tokens;
mod m20261121_000010_create_sign_in_failures;
mod m20261121_000011_create_password_resets;
mod m20261121_000012_create_audit_events;
mod m20261121_000013_index_greet_history;
mod m20261121_000014_tune_sales;
mod m20261121_000015_create_backups;

/// Every migration, oldest first. A new one is added at the end, and to nothing else.
pub const MIGRATIONS: &[Migration] = &[
    m20261121_000001_create_bootstrap_metadata::MIGRATION,
    m20261121_000002_create_users::MIGRATION,
    m20261121_000003_create_greet_history::MIGRATION,
    m20261121_000004_create_coupons::MIGRATION,
    m20261121_000005_create_claims::MIGRATION,
    m20261121_000006_create_idempotency_keys::MIGRATION,
    m20261121_000007_create_token_versions::MIGRATION,
    m20261121_000008_create_sessions::MIGRATION,
    m20261121_000009_create_refresh_tokens::MIGRATION,
    m20261121_000010_create_sign_in_failures::MIGRATION,
    m20261121_000011_create_password_resets::MIGRATION,
    m20261121_000012_create_audit_events::MIGRATION,
    m20261121_000013_index_greet_history::MIGRATION,
    m20261121_000014_tune_sales::MIGRATION,
    m20261121_000015_create_backups::MIGRATION,
];

/// What a migration means for the instances that still run the version before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only adds: older binaries go on working with the new schema.
    Expand,
    /// Takes away or changes what older binaries use. Wants `--allow-destructive`.
    Contract,
    /// Loses data that `down` cannot bring back, besides being a contraction. Wants `--allow-destructive`.
    Irreversible,
}

impl Kind {
    /// Its name in the history, in reports and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Contract => "contract",
            Self::Irreversible => "irreversible",
        }
    }
}

/// How a migration's statements are kept together on PostgreSQL. On SQLite the whole run is one transaction, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atomicity {
    /// All of them or none.
    Transaction,
    /// Each for itself, because one of them cannot run in a transaction (`CREATE INDEX CONCURRENTLY`). After a crash the
    /// run begins again with the first statement, so every statement must bear being repeated, and the first of a
    /// concurrent index is `DROP INDEX CONCURRENTLY IF EXISTS`.
    StatementByStatement,
}

/// One step of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its version: `m<date>_<number>_<what it does>`, the file's name. It sorts in the order of application.
    pub name: &'static str,
    /// What it means for older binaries.
    pub kind: Kind,
    /// Whether its statements stand and fall together.
    pub atomicity: Atomicity,
    /// What `up` runs.
    pub up: Script,
    /// What `down` runs; it undoes `up` exactly. It is kept in the database with the history, so that an older binary can
    /// use it.
    pub down: Script,
}

/// The same change for both engines, one statement per entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// Statements for PostgreSQL 15 and newer.
    pub postgres: &'static [&'static str],
    /// Statements for SQLite 3.37 and newer (STRICT tables).
    pub sqlite: &'static [&'static str],
}

impl Script {
    /// The statements for one engine.
    #[must_use]
    pub fn statements(&self, backend: DatabaseBackend) -> &'static [&'static str] {
        match backend {
            DatabaseBackend::Sqlite => self.sqlite,
            _ => self.postgres,
        }
    }

    async fn run(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in self.statements(manager.get_database_backend()) {
            connection.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

impl MigrationName for Migration {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.up.run(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.down.run(manager).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(self.atomicity == Atomicity::Transaction)
    }
}

/// The migrations as SeaORM's tools expect them.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        MIGRATIONS
            .iter()
            .map(|migration| Box::new(*migration) as Box<dyn MigrationTrait>)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_sorted() {
        assert!(MIGRATIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    /// A plan is rehearsed on temporary tables: a name with a schema would be a live table's.
    #[test]
    fn no_statement_names_a_schema() {
        for migration in MIGRATIONS {
            for script in [migration.up, migration.down] {
                for statement in script.postgres.iter().chain(script.sqlite) {
                    assert!(!statement.contains("public."), "{}: {statement}", migration.name);
                }
            }
        }
    }

    #[test]
    fn every_migration_can_be_undone_on_both_engines() {
        for migration in MIGRATIONS {
            for script in [migration.up, migration.down] {
                assert!(!script.postgres.is_empty(), "{}", migration.name);
                assert!(!script.sqlite.is_empty(), "{}", migration.name);
            }
        }
    }
}
