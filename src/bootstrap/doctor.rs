//! Makes doctors out of settings, and tells them what they are to know of those.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use dlc_application::{
    operations::check::{Doctor, Options as RoundOptions},
    ports::inspection::{ConfigFacts, ConfiguredDatabase, ConfiguredReplica, SecretFile},
};
use dlc_database::{DatabaseOptions, DatabaseUrl, Migration, SqlInspector};

use super::services;
use crate::config::{Config, ConfigError, database::PoolerKind};

/// How long the doctor looks at the database of a running service.
const EXAMINATION_LIMIT: Duration = Duration::from_secs(2);

/// A doctor for the running service.
pub(super) fn of_a_running_service(
    config: &Config,
    options: &DatabaseOptions,
    migrations: &'static [Migration],
) -> Arc<Doctor> {
    let round = RoundOptions {
        // Whole tables and whole files are read for whoever asks for it, not every half minute.
        skip: vec!["BIZ001", "DSK002", "SQL004", "SQL005"],
        ..RoundOptions::default()
    };
    let inspector = SqlInspector::of_a_running_service(options, migrations).beside(replica(config, options));
    Arc::new(Doctor::new(
        Some(inspector),
        config_facts(config),
        round,
        EXAMINATION_LIMIT,
    ))
}

/// What is looked at before the gate opens: the server's kind and age, grants, tables and columns.
pub(super) const GATE_CHECKS: [&str; 4] = ["SRV004", "SRV005", "PRV002", "DRF002"];

/// How long that may take. What could not be asked by then is not held against the database: it was there a moment ago, and
/// whoever waits for it has waited already.
const GATE_LIMIT: Duration = Duration::from_secs(10);

/// A doctor for the gate: what would make every request fail is said before the first one comes.
pub(super) fn at_the_gate(config: &Config, options: &DatabaseOptions, migrations: &'static [Migration]) -> Doctor {
    let round = RoundOptions {
        only: GATE_CHECKS.to_vec(),
        ..RoundOptions::default()
    };
    let inspector = SqlInspector::of_a_running_service(options, migrations);
    Doctor::new(Some(inspector), config_facts(config), round, GATE_LIMIT)
}

/// The replica for reads, if there is one beside this database.
pub(super) fn replica(config: &Config, options: &DatabaseOptions) -> Option<DatabaseOptions> {
    let selected = config.selected.as_ref().ok()?;
    services::replica_options(config, selected, options).map(|replica| replica.database)
}

/// What the doctor is told of the configuration.
pub(super) fn config_facts(config: &Config) -> ConfigFacts {
    let selected = config.selected.as_ref();
    ConfigFacts {
        database: Some(selected.map_err(Clone::clone).map(|selected| ConfiguredDatabase {
            target: selected.url.redacted().to_owned(),
            source: selected.source.clone(),
            engine: selected.url.engine(),
        })),
        unknown: config.warnings.unknown.clone(),
        secret_files: config.secret_files.iter().map(|path| secret_file(path)).collect(),
        contradictions: config.contradictions(),
        sample_password: selected.is_ok_and(|selected| selected.sample_password),
        plaintext_to: selected.ok().and_then(|selected| plaintext_to(&selected.url)),
        pool_size: config.database.max_open_conns,
        instances: config.database.instances,
        separate_migrations: selected.is_ok_and(|selected| selected.migration_url.is_some()),
        statement_timeout: Some(config.database.statement_timeout).filter(|limit| !limit.is_zero()),
        lock_timeout: Some(config.database.lock_timeout).filter(|limit| !limit.is_zero()),
        idle_in_transaction_timeout: Some(config.database.idle_in_transaction_timeout).filter(|limit| !limit.is_zero()),
        pooler: config.database.pooler == PoolerKind::PgBouncer,
        replica: selected
            .ok()
            .and_then(|selected| selected.replica_url.as_ref())
            .map(|url| ConfiguredReplica {
                target: url.redacted().to_owned(),
                max_lag: config.database.replica_max_lag,
            }),
    }
}

/// The same when the configuration cannot be read.
pub(super) fn broken_config_facts(error: ConfigError) -> ConfigFacts {
    match error {
        ConfigError::SecretFile { path, named_by, cause } => {
            let error = Some(format!("named by {named_by}: {cause}"));
            ConfigFacts {
                secret_files: vec![SecretFile {
                    path,
                    error,
                    open_to_others: false,
                }],
                ..ConfigFacts::default()
            }
        }
        ConfigError::Invalid(sentences) => ConfigFacts {
            contradictions: sentences,
            ..ConfigFacts::default()
        },
    }
}

/// The host that is spoken to in the clear, unless it is this machine.
fn plaintext_to(url: &DatabaseUrl) -> Option<String> {
    let host = url.host()?;
    let local = host == "localhost"
        || host.starts_with('/')
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    (url.encryption_disabled() && !local).then_some(host)
}

fn secret_file(path: &str) -> SecretFile {
    let metadata = fs::metadata(path);
    SecretFile {
        path: path.to_owned(),
        open_to_others: metadata
            .as_ref()
            .is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0),
        error: metadata.err().map(|error| error.to_string()),
    }
}
