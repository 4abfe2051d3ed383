//! The doctor's look before a run of migrations, through the very session that will run them.

use std::time::{Duration, Instant};

use dlc_application::{
    operations::check::{self, Options, Purpose, Status},
    ports::{
        inspection::{ConfigFacts, ConfiguredDatabase, Facts, ServerFacts, Timed},
        migrations::MigrateError,
    },
};

use super::{Round, ask, postgres, sqlite, timed};
use crate::{error, options::DatabaseOptions, session::Session};

/// Looks for whatever would stop these statements, or somebody else. `affinity`: whether the session keeps one server
/// process to itself; `None`: they do not need that.
pub(crate) async fn preflight(
    options: &DatabaseOptions,
    session: &mut Session,
    pending_sql: Vec<String>,
    affinity: Option<bool>,
) -> Result<(), MigrateError> {
    let engine = options.url.engine();
    let strictness = Options {
        purpose: Purpose::Migrating,
        ..Options::default()
    };
    let inquiry = check::inquiry(&strictness, engine);
    let config = ConfigFacts {
        database: Some(Ok(ConfiguredDatabase {
            target: options.url.redacted().to_owned(),
            source: "migrate".to_owned(),
            engine,
        })),
        ..ConfigFacts::default()
    };
    let mut facts = Facts {
        pending_sql,
        ..Facts::unseen(config)
    };
    match session {
        Session::Postgres(session) => {
            let (server, _) = postgres::identify(session)
                .await
                .map_err(|e| error::migrate(&e, None))?;
            facts.server = Some(Timed {
                value: Ok(ServerFacts {
                    session_affinity: affinity,
                    ..server
                }),
                took: Duration::ZERO,
            });
        }
        Session::Sqlite(_) => {
            let path = options.sqlite_path()?;
            let mut file = sqlite::outside(path);
            let content = timed(sqlite::content(session, None)).await;
            file.content = Some(Timed {
                value: content.value.map_err(|e| error::connect(&e, &options.url)),
                took: content.took,
            });
            facts.sqlite = Some(file);
        }
    }
    let round = Round {
        options,
        inquiry: &inquiry,
        migrations: &[],
        known: &[],
        limit: Duration::from_secs(3600),
        started: Instant::now(),
    };
    ask(std::iter::once(session), &mut facts, &round).await;
    let report = check::judge(&facts, &strictness);
    match report
        .findings
        .into_iter()
        .find(|finding| finding.status == Status::Fail)
    {
        Some(finding) => Err(MigrateError::Unfit(Box::new(finding))),
        None => Ok(()),
    }
}
