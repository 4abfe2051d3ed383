//! What the commands about accounts, coupons and greetings open: the database, once it is known to be fit for them.

use std::time::Duration;

use dlc_application::{
    operations::check::Status,
    ports::migrations::{MigrateError, SchemaMigrator},
};
use dlc_database::{Database, DatabaseOptions, Migration};

use super::{
    doctor::{self, GATE_CHECKS},
    services,
};
use crate::{
    adapters::inbound::cli::exit::{Exit, Failure},
    config::Config,
};

/// Longest wait for the database's connections to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Does something with the database of the configuration, which is closed afterwards.
pub(super) async fn with_database<T>(
    config: &Config,
    command: &str,
    migrations: &'static [Migration],
    work: impl AsyncFnOnce(&Database) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let options = fit_database(config, command, migrations).await?;
    let database = dlc_database::connect(&options).await?;
    let done = work(&database).await;
    database.close(CLOSE_LIMIT).await;
    done
}

/// The database of the configuration, known to be fit.
///
/// Nothing is migrated here, and no file is made: what a command needs and does not find is said, as `serve` says it at its gate.
pub(super) async fn fit_database(
    config: &Config,
    command: &str,
    migrations: &'static [Migration],
) -> Result<DatabaseOptions, Failure> {
    let selected = services::selected(config)?;
    let options = DatabaseOptions {
        // One thing at a time.
        max_connections: 1,
        min_connections: 0,
        ..services::database_options(config, selected, command)
    };
    let history = services::migrator(config, selected, command, migrations)
        .history()
        .await?;
    history.validate().map_err(MigrateError::from)?;
    let findings = doctor::at_the_gate(config, &options, migrations)
        .examine()
        .await
        .findings;
    let of = |id: &str, status| {
        findings
            .iter()
            .find(|finding| finding.id == id && finding.status == status)
    };
    if let Some(unfit) = GATE_CHECKS.iter().find_map(|id| of(id, Status::Fail)) {
        return Err(Failure::unfit(&format!("before {command}"), unfit.clone()));
    }
    let pending = history.pending().count();
    // Some may be pending that this command has no need of.
    if pending > 0 && of("DRF002", Status::Ok).is_none() {
        let message = if history.is_recorded() {
            format!("the database lacks tables or columns: {pending} migrations are pending")
        } else {
            "the database was never migrated".to_owned()
        };
        return Err(Failure::new(Exit::Failed, "migrations_pending", message).hint("apply them: dlc migrate up"));
    }
    Ok(options)
}
