//! Both ends of `dlc db move`: named in the command, or the configured database.

use dlc_database::{DatabaseOptions, DatabaseUrl, Migration, Pooler, SqlMover, UrlError};

use super::services;
use crate::{
    adapters::inbound::cli::{
        args::MoveArgs,
        exit::{Exit, Failure},
    },
    config::{Config, SelectedDatabase},
};

/// Source and target.
pub(super) struct Ends {
    source: DatabaseOptions,
    target: DatabaseOptions,
}

impl Ends {
    /// What can be shown of them.
    pub(super) fn redacted(&self) -> [&str; 2] {
        [self.source.url.redacted(), self.target.url.redacted()]
    }
}

fn named(config: &Config, flag: &str, url: &str) -> Result<DatabaseOptions, Failure> {
    let url: DatabaseUrl = url.parse().map_err(|error: UrlError| {
        Failure::new(Exit::Configuration, "configuration_invalid", format!("{flag}: {error}"))
    })?;
    // Nothing is taken from the configured database, and it need not be there.
    let selected = SelectedDatabase {
        url,
        source: flag.to_owned(),
        migration_url: None,
        replica_url: None,
        is_embedded_default: false,
        sample_password: false,
    };
    Ok(DatabaseOptions {
        pooler: Pooler::None,
        ..services::database_options(config, &selected, "db move")
    })
}

/// The configured database, by its direct address where it has one: a copy is one long transaction.
fn configured(config: &Config) -> Result<DatabaseOptions, Failure> {
    let selected = services::selected(config)?;
    let mut options = services::database_options(config, selected, "db move");
    if let Some(url) = &selected.migration_url {
        options.url = url.clone();
        options.pooler = Pooler::None;
    }
    Ok(options)
}

pub(super) fn ends(config: &Config, args: &MoveArgs) -> Result<Ends, Failure> {
    let end = |flag, url: &Option<String>| {
        url.as_ref()
            .map_or_else(|| configured(config), |url| named(config, flag, url))
    };
    Ok(Ends {
        source: end("--from", &args.from)?,
        target: end("--to", &args.to)?,
    })
}

pub(super) fn mover(config: &Config, ends: &Ends, migrations: &'static [Migration]) -> SqlMover {
    SqlMover::new(
        &ends.source,
        &ends.target,
        services::migrator_settings(config, migrations),
    )
}
