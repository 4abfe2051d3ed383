//! What a run does with one migration, whether this binary knows it or the database has kept it.

use std::fmt::Write;

use dlc_application::{
    operations::migrate::{DownSource, History, Known, MigrationKind},
    ports::{
        inspection::Engine,
        migrations::{MigrateError, RunRequest},
    },
};
use migration::{Atomicity, Kind, Migration, Script};
use sha2::{Digest, Sha256};

/// One migration, ready to be run in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) name: String,
    pub(crate) kind: Option<MigrationKind>,
    /// Its statements stand and fall together.
    pub(crate) transaction: bool,
    /// The statements come from the database.
    pub(crate) stored: bool,
    pub(crate) statements: Vec<String>,
    /// What is noted when it is applied.
    pub(crate) note: Note,
}

/// What is noted of an applied migration besides the run itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    pub(crate) checksum: String,
    pub(crate) kind: &'static str,
    pub(crate) down: Vec<String>,
}

fn statements(script: &Script, engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgres => script.postgres,
        Engine::Sqlite => script.sqlite,
    }
}

/// SHA-256 of statements, in hexadecimal. A byte that no statement holds stands between them.
pub(crate) fn checksum<'a>(statements: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for statement in statements {
        hash.update(statement.as_bytes());
        hash.update([0]);
    }
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn kind(migration: &Migration) -> MigrationKind {
    match migration.kind {
        Kind::Expand => MigrationKind::Expand,
        Kind::Contract => MigrationKind::Contract,
        Kind::Irreversible => MigrationKind::Irreversible,
    }
}

/// The migrations of this binary as the history is held against them.
pub(crate) fn known(migrations: &[Migration], engine: Engine) -> Vec<Known> {
    migrations
        .iter()
        .map(|migration| Known {
            name: migration.name.to_owned(),
            kind: kind(migration),
            checksum: checksum(statements(&migration.up, engine).iter().copied()),
            reverts: !statements(&migration.down, engine).is_empty(),
        })
        .collect()
}

/// The statements that apply these migrations, in order.
pub(crate) fn statements_of<'a>(
    migrations: &[Migration],
    names: impl Iterator<Item = &'a str>,
    engine: Engine,
) -> Vec<String> {
    names
        .filter_map(|name| migrations.iter().find(|migration| migration.name == name))
        .flat_map(|migration| statements(&migration.up, engine))
        .map(|sql| (*sql).to_owned())
        .collect()
}

/// What applying a migration of this binary does.
pub(crate) fn up(migration: &Migration, engine: Engine) -> Work {
    let owned = |script: &Script| statements(script, engine).iter().map(|sql| (*sql).to_owned()).collect();
    let up: Vec<String> = owned(&migration.up);
    Work {
        name: migration.name.to_owned(),
        kind: Some(kind(migration)),
        transaction: migration.atomicity == Atomicity::Transaction || engine == Engine::Sqlite,
        stored: false,
        note: Note {
            checksum: checksum(up.iter().map(String::as_str)),
            kind: migration.kind.name(),
            down: owned(&migration.down),
        },
        statements: up,
    }
}

fn down(migration: &Migration, engine: Engine) -> Work {
    let work = up(migration, engine);
    Work {
        statements: work.note.down.clone(),
        ..work
    }
}

/// What reverting by the SQL that the database has kept does.
fn down_by_stored(history: &History, name: &str) -> Option<Work> {
    let record = history.record(name)?;
    Some(Work {
        name: name.to_owned(),
        kind: record.kind,
        transaction: record.transaction,
        stored: true,
        statements: record.down.clone(),
        note: Note::default(),
    })
}

/// What a run has to do, in order.
pub(crate) fn plan(
    migrations: &[Migration],
    engine: Engine,
    history: &History,
    request: &RunRequest,
) -> Result<Vec<Work>, MigrateError> {
    let find = |name: &str| migrations.iter().find(|migration| migration.name == name);
    match request {
        RunRequest::Up(request) => {
            let names = history.plan_up(&request.target)?;
            Ok(names
                .iter()
                .filter_map(|name| find(name))
                .map(|found| up(found, engine))
                .collect())
        }
        RunRequest::Down(request) => {
            let plan = history.plan_down(&request.target, request.use_stored_sql)?;
            let works: Vec<Work> = plan
                .iter()
                .filter_map(|(name, source)| match source {
                    DownSource::Binary => find(name).map(|found| down(found, engine)),
                    DownSource::Stored => down_by_stored(history, name),
                })
                .collect();
            let agreed = |agreed: &Vec<(String, Vec<String>)>| {
                agreed
                    .iter()
                    .map(|(name, sql)| (name, sql))
                    .eq(works.iter().map(|work| (&work.name, &work.statements)))
            };
            if request.agreed.as_ref().is_some_and(|list| !agreed(list)) {
                return Err(MigrateError::Changed);
            }
            Ok(works)
        }
    }
}

/// Refuses what takes something away and was not allowed to.
pub(crate) fn refuse_destructive(request: &RunRequest, plan: &[Work]) -> Result<(), MigrateError> {
    let RunRequest::Up(request) = request else {
        return Ok(());
    };
    let destructive: Vec<String> = plan
        .iter()
        .filter(|work| work.kind.is_some_and(MigrationKind::is_destructive))
        .map(|work| work.name.clone())
        .collect();
    if destructive.is_empty() || request.allow_destructive {
        Ok(())
    } else {
        Err(MigrateError::Destructive(destructive))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_covers_every_statement_and_where_one_ends() {
        let one = checksum(["CREATE TABLE a (id integer)", "CREATE INDEX i ON a (id)"]);
        assert_eq!(one.len(), 64);
        for other in [
            checksum(["CREATE TABLE a (id integer)"]),
            checksum(["CREATE INDEX i ON a (id)", "CREATE TABLE a (id integer)"]),
            checksum(["CREATE TABLE a (id integer)CREATE INDEX i ON a (id)"]),
            checksum(["CREATE TABLE a (id integer)", "CREATE INDEX i ON a (id) "]),
        ] {
            assert_ne!(one, other);
        }
    }
}
