//! The live schema and the history, held against this binary; and mending the bookkeeping where that is proven.
//!
//! The proof is always the same: the live schema is, object by object, what certain migrations of this binary make. Then
//! they are applied, whatever the history says.

use std::{collections::BTreeSet, time::Duration};

use dlc_application::{
    operations::migrate::{Difference, History, MigrationState, SchemaObject, Target, differences},
    ports::{
        inspection::Engine,
        migrations::{MigrateError, MigrationObserver, Repair, RunRequest, UpRequest, Verification},
    },
};

use super::{Run, SqlMigrator, postgres, scratch::Scratch, sqlite};
use crate::{
    error,
    schema::{catalogue, history, work},
    session::Session,
};

/// What all migrations of this binary make, object by object, without anything of it being made.
pub(super) async fn blueprint(migrator: &SqlMigrator) -> Result<Vec<SchemaObject>, MigrateError> {
    let mut scratch = Scratch::open(migrator).await?;
    for known in migrator.settings.migrations {
        scratch.apply(&work::up(known, migrator.engine())).await?;
    }
    let objects = scratch.objects().await?;
    scratch.close().await;
    Ok(objects)
}

/// What the live schema lacks, or has beyond, what these migrations make.
async fn drift(
    migrator: &SqlMigrator,
    session: Option<&mut Session>,
    applied: &BTreeSet<&str>,
) -> Result<Vec<Difference>, MigrateError> {
    let mut scratch = Scratch::open(migrator).await?;
    for known in migrator
        .settings
        .migrations
        .iter()
        .filter(|known| applied.contains(known.name))
    {
        scratch.apply(&work::up(known, migrator.engine())).await?;
    }
    let expected = scratch.objects().await?;
    scratch.close().await;
    let live = match session {
        Some(session) => catalogue::objects(session)
            .await
            .map_err(|e| error::migrate(&e, None))?,
        None => Vec::new(),
    };
    Ok(differences(&expected, &live))
}

/// Whether the live schema is what these migrations make. Where one of them needs another that is left out, it is not.
async fn is_made_by(
    migrator: &SqlMigrator,
    session: &mut Session,
    applied: &BTreeSet<&str>,
) -> Result<bool, MigrateError> {
    match drift(migrator, Some(session), applied).await {
        Ok(differences) => Ok(differences.is_empty()),
        Err(MigrateError::Failed { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Applied and whole, as far as this binary knows them.
fn standing(history: &History) -> BTreeSet<&str> {
    let stands = |state: &MigrationState| matches!(state, MigrationState::Applied | MigrationState::Edited { .. });
    history
        .entries()
        .iter()
        .filter(|entry| stands(&entry.state))
        .map(|entry| entry.name.as_str())
        .collect()
}

pub(super) async fn verify(migrator: &SqlMigrator) -> Result<Verification, MigrateError> {
    let Some(mut session) = migrator.look().await? else {
        return Ok(Verification {
            history: migrator.untouched(),
            drift: Some(Vec::new()),
            since_last_run: None,
        });
    };
    let history = migrator.history_in(&mut session).await?;
    let tells = history.newer().next().is_none() && history.missing().next().is_none();
    let drift = if tells {
        Some(drift(migrator, Some(&mut session), &standing(&history)).await?)
    } else {
        None
    };
    let since_last_run = catalogue::changes_since_recorded(&mut session)
        .await
        .map_err(|e| error::migrate(&e, None))?;
    session.close().await;
    Ok(Verification {
        history,
        drift,
        since_last_run,
    })
}

/// What can be done about one thing that is wrong.
enum Remedy {
    /// Note the migration as this binary has it.
    Note(String),
    /// Enter it into SeaORM's table, and note it.
    Enter(String),
    /// Record the schema as it is.
    Record,
}

struct Diagnosis {
    repair: Repair,
    remedy: Option<Remedy>,
}

fn unproven(what: String, why: impl Into<String>) -> Diagnosis {
    Diagnosis {
        repair: Repair {
            what,
            why: why.into(),
            proven: false,
        },
        remedy: None,
    }
}

/// What is wrong, each with its proof or without one.
async fn examine(migrator: &SqlMigrator, session: &mut Session) -> Result<Vec<Diagnosis>, MigrateError> {
    let history = migrator.history_within(session).await?;
    let mut found = Vec::new();
    if !history.is_recorded() {
        return Ok(found);
    }
    let foreign: Vec<&str> = history.missing().chain(history.newer()).collect();
    for name in history.missing() {
        found.push(unproven(
            format!("{name} is applied, but missing from this binary"),
            "only a dlc of the line that applied it can tell what it made",
        ));
    }
    if let Some(unfinished) = history.unfinished() {
        found.push(unproven(unfinished.to_string(), "dlc migrate up begins it again"));
    }
    let stands = standing(&history);
    // What this binary does not know is part of the live schema, so nothing can be proven beside it.
    let provable = foreign.is_empty() && history.unfinished().is_none();
    let mut gaps: BTreeSet<&str> = history.out_of_order().collect();
    // The newest rows may be lost as well as others; then what seems to be pending is there already.
    let pending: BTreeSet<&str> = history.pending().collect();
    let are_lost = provable && pending.len() > gaps.len() && are_made(migrator, session, &stands, &pending).await?;
    let with_gaps = if are_lost {
        gaps = pending;
        true
    } else {
        provable && !gaps.is_empty() && are_made(migrator, session, &stands, &gaps).await?
    };
    let whole: BTreeSet<&str> = stands.union(&gaps).copied().collect();
    let wrong = !gaps.is_empty() || !history.edited().is_empty() || history.unrecorded().next().is_some();
    let as_recorded = wrong && provable && is_made_by(migrator, session, &stands).await?;
    let proof = "the live schema is, object by object, what this binary's migrations make; rows were not looked at";
    let no_proof = "the live schema does not tell; look at the differences: dlc migrate verify";
    for (name, applied, known) in history.edited() {
        let what = format!(
            "{name} has another checksum than when it was applied: note {} instead of {}",
            &known[..12],
            applied.get(..12).unwrap_or(&applied)
        );
        found.push(note(name, what, as_recorded || with_gaps, proof, no_proof));
    }
    for name in history.unrecorded().filter(|name| stands.contains(name)) {
        let what = format!("{name} was applied by another tool: note its checksum");
        found.push(note(name.to_owned(), what, as_recorded || with_gaps, proof, no_proof));
    }
    for name in &gaps {
        found.push(if with_gaps {
            Diagnosis {
                repair: Repair {
                    what: format!("{name} is not in the history, although what it makes is there: enter it as applied"),
                    why: proof.to_owned(),
                    proven: true,
                },
                remedy: Some(Remedy::Enter((*name).to_owned())),
            }
        } else {
            let what = format!("{name} is not in the history although newer ones are: enter it as applied");
            unproven(
                what,
                "nothing in the schema proves that it ran; give it a newer number, or revert the newer ones",
            )
        });
    }
    let changed = catalogue::changes_since_recorded(session)
        .await
        .map_err(|e| error::migrate(&e, None))?;
    let recorded_differs = changed.is_none_or(|changes| !changes.is_empty());
    if recorded_differs && provable && !stands.is_empty() {
        let applied = if with_gaps { &whole } else { &stands };
        if is_made_by(migrator, session, applied).await? {
            found.push(Diagnosis {
                repair: Repair {
                    what: "the recorded schema is not the live one: record it anew".to_owned(),
                    why: proof.to_owned(),
                    proven: true,
                },
                remedy: Some(Remedy::Record),
            });
        }
    }
    Ok(found)
}

/// Whether the live schema is made by what is applied and by these together, and by no fewer of them: one that changes rows alone, and
/// no object, leaves no trace that would prove it.
async fn are_made(
    migrator: &SqlMigrator,
    session: &mut Session,
    applied: &BTreeSet<&str>,
    others: &BTreeSet<&str>,
) -> Result<bool, MigrateError> {
    let whole: BTreeSet<&str> = applied.union(others).copied().collect();
    if !is_made_by(migrator, session, &whole).await? {
        return Ok(false);
    }
    for other in others {
        let without: BTreeSet<&str> = whole.iter().filter(|name| *name != other).copied().collect();
        if is_made_by(migrator, session, &without).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn note(name: String, what: String, proven: bool, proof: &str, no_proof: &str) -> Diagnosis {
    if proven {
        Diagnosis {
            repair: Repair {
                what,
                why: proof.to_owned(),
                proven,
            },
            remedy: Some(Remedy::Note(name)),
        }
    } else {
        unproven(what, no_proof)
    }
}

pub(super) async fn diagnose(migrator: &SqlMigrator) -> Result<Vec<Repair>, MigrateError> {
    let Some(mut session) = migrator.look().await? else {
        return Ok(Vec::new());
    };
    // One moment for all that is compared.
    session
        .begin_look("SELECT ''")
        .await
        .map_err(|e| error::migrate(&e, None))?;
    let found = examine(migrator, &mut session).await;
    session.close().await;
    Ok(found?.into_iter().map(|diagnosis| diagnosis.repair).collect())
}

pub(super) async fn repair(
    migrator: &SqlMigrator,
    shown: &[Repair],
    observer: &dyn MigrationObserver,
) -> Result<Vec<Repair>, MigrateError> {
    let request = RunRequest::Up(UpRequest {
        target: Target::All,
        allow_destructive: false,
    });
    let run = Run {
        migrator,
        request: &request,
        observer,
    };
    match migrator.engine() {
        Engine::Postgres => postgres::with_lock(&run, async |session| mend(migrator, session, shown).await).await,
        Engine::Sqlite => {
            if !migrator.options.sqlite_path()?.exists() {
                return Ok(Vec::new());
            }
            sqlite::with_lock(&run, async |session, _| mend(migrator, session, shown).await).await
        }
    }
}

/// Examines again, now that nobody else can change anything, and mends what was shown and is still proven.
async fn mend(migrator: &SqlMigrator, session: &mut Session, shown: &[Repair]) -> Result<Vec<Repair>, MigrateError> {
    let failed = |e: sqlx::Error| error::migrate(&e, None);
    let by = &migrator.options.application_name;
    history::install(session).await.map_err(failed)?;
    let mut mended = Vec::new();
    for diagnosis in examine(migrator, session).await? {
        let Some(remedy) = diagnosis.remedy.filter(|_| shown.contains(&diagnosis.repair)) else {
            continue;
        };
        match remedy {
            Remedy::Note(name) => note_as_known(migrator, session, &name).await?,
            Remedy::Enter(name) => {
                note_as_known(migrator, session, &name).await?;
                history::enter(session, &name).await.map_err(failed)?;
            }
            Remedy::Record => catalogue::record(session, by).await.map_err(failed)?,
        }
        mended.push(diagnosis.repair);
    }
    Ok(mended)
}

/// Notes a migration as this binary has it.
async fn note_as_known(migrator: &SqlMigrator, session: &mut Session, name: &str) -> Result<(), MigrateError> {
    let Some(known) = migrator.settings.migrations.iter().find(|known| known.name == name) else {
        return Ok(());
    };
    let work = work::up(known, migrator.engine());
    let done = history::Progress {
        took: Duration::ZERO,
        reached: work.statements.len(),
        finished: true,
    };
    history::note(session, &work, &migrator.options.application_name, done)
        .await
        .map_err(|e| error::migrate(&e, None))
}
