//! Wires the commands about backups, and lets them clean up when they are interrupted.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use dlc_application::ports::{
    backups::{BackupRequest, RestoreRequest},
    clock::Clock,
};
use dlc_database::{DatabaseUrl, Migration, Pooler, ProgramPlaces, SqlBackups, UrlError};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::services;
use crate::{
    adapters::{
        inbound::cli::{
            args::{BackupArgs, RestoreArgs, VerifyBackupArgs},
            db::{self, Stop},
            exit::{Exit, Failure},
            printer::Printer,
        },
        outbound::clock::SystemClock,
    },
    config::{self, Config, SelectedDatabase},
};

type Environment = BTreeMap<String, OsString>;

/// The word that stands for the database of the configuration.
const CONFIGURED: &str = "configured";

/// Where systems have the certificates of the authorities that everybody trusts: Debian and its kin, Red Hat and its kin, Alpine and
/// others, SUSE.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

fn places(config: &Config, environment: &Environment) -> ProgramPlaces {
    let given = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let path = given("PATH").map(|path| path.to_string_lossy());
    let is_dlcs = |name: &&String| {
        name.starts_with("DLC_") || config::settings().any(|setting| setting.aliases.contains(&name.as_str()))
    };
    ProgramPlaces {
        only_in: config.backup.programs.clone(),
        path: path
            .iter()
            .flat_map(|path| path.split(':'))
            .filter(|part| !part.is_empty())
            .map(PathBuf::from)
            .collect(),
        authorities: ["PGSSLROOTCERT", "SSL_CERT_FILE"]
            .into_iter()
            .filter_map(given)
            .map(PathBuf::from)
            .chain(AUTHORITIES.map(PathBuf::from))
            .collect(),
        hidden: environment.keys().filter(is_dlcs).cloned().collect(),
    }
}

/// A pooler has no snapshot to share and no database to make: these commands go around it where an address for that is known.
fn directly(selected: &SelectedDatabase) -> SelectedDatabase {
    SelectedDatabase {
        url: selected.migration_url.clone().unwrap_or_else(|| selected.url.clone()),
        ..selected.clone()
    }
}

fn backups(
    config: &Config,
    selected: &SelectedDatabase,
    command: &str,
    migrations: &'static [Migration],
    environment: &Environment,
) -> std::sync::Arc<SqlBackups> {
    let mut options = services::database_options(config, selected, command);
    options.pooler = Pooler::None;
    SqlBackups::new(&options, places(config, environment), migrations)
}

/// `dlc db backup`
pub(super) async fn backup(
    config: &Config,
    args: BackupArgs,
    migrations: &'static [Migration],
    environment: &Environment,
    printer: Printer,
) -> Result<Exit, Failure> {
    let selected = directly(services::selected(config)?);
    let backups = backups(config, &selected, "db backup", migrations, environment);
    let to = args.to.clone().map_or_else(
        || {
            let directory = config.backup.directory.clone();
            dlc_application::ports::backups::Place::Directory(directory.unwrap_or_else(|| PathBuf::from("backups")))
        },
        db::place,
    );
    let request = BackupRequest {
        id: Uuid::now_v7().to_string(),
        started_at: SystemClock.now(),
        to,
    };
    let stop = Stop::default();
    let work = db::backup(backups.as_ref(), &args, &request, || SystemClock.now(), &stop, printer);
    cleaning_up(&stop, work).await
}

/// `dlc db verify`
pub(super) async fn verify(
    config: &Config,
    args: VerifyBackupArgs,
    migrations: &'static [Migration],
    environment: &Environment,
    printer: Printer,
) -> Result<Exit, Failure> {
    let selected = directly(services::selected(config)?);
    let backups = backups(config, &selected, "db verify", migrations, environment);
    let stop = Stop::default();
    let work = db::verify(backups.as_ref(), &args, || SystemClock.now(), &stop, printer);
    cleaning_up(&stop, work).await
}

/// `dlc db restore`
pub(super) async fn restore(
    config: &Config,
    args: RestoreArgs,
    migrations: &'static [Migration],
    environment: &Environment,
    printer: Printer,
) -> Result<Exit, Failure> {
    let selected = if args.into == CONFIGURED {
        directly(services::selected(config)?)
    } else {
        let url: DatabaseUrl = args.into.parse().map_err(|error: UrlError| {
            Failure::new(Exit::Configuration, "configuration_invalid", format!("--into: {error}"))
                .hint("a URL, or the word configured for the database of the configuration")
        })?;
        SelectedDatabase {
            url,
            source: "--into".to_owned(),
            migration_url: None,
            replica_url: None,
            is_embedded_default: false,
            sample_password: false,
        }
    };
    let backups = backups(config, &selected, "db restore", migrations, environment);
    let request = RestoreRequest {
        file: args.file.clone(),
        id: Uuid::now_v7().to_string(),
        replace: args.replace,
    };
    // Up to here nothing was written, and nothing has to be cleaned up.
    let prepared = tokio::select! {
        prepared = db::confirm(backups.as_ref(), &args, &request, printer) => prepared?,
        () = interrupted() => return Ok(Exit::Interrupted),
    };
    let stop = Stop::default();
    let work = db::restore(backups.as_ref(), &args, &request, &prepared, &stop, printer);
    cleaning_up(&stop, work).await
}

/// The first signal asks the command to clean up and end, the second does not wait for it.
async fn cleaning_up(stop: &Stop, work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    tokio::pin!(work);
    tokio::select! {
        // First of all: a signal that nobody listens for yet would end the process where it stands.
        biased;
        () = interrupted() => stop.ask(),
        done = &mut work => return done,
    }
    tokio::select! {
        biased;
        () = interrupted() => Ok(Exit::Interrupted),
        done = work => done,
    }
}

async fn interrupted() {
    let heard = async |kind| match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        // Where no signal can be heard, none ends anything.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = heard(SignalKind::interrupt()) => {}
        () = heard(SignalKind::terminate()) => {}
        () = heard(SignalKind::hangup()) => {}
    }
}
