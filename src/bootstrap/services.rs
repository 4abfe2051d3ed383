//! Makes adapters out of settings. Not here: the doctor's (`doctor`).

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use dlc_application::{
    auth::{AuthPolicy, AuthPorts, AuthService, Registration},
    coupons::CouponService,
    greetings::GreetingService,
    users::UserService,
};
use dlc_database::{
    ClaimEngineMode, Database, DatabaseOptions, Migration, MigratorSettings, Pooler, ReplicaOptions,
    SeaOrmCouponRepository, SeaOrmGreetingRepository, SeaOrmSessionRepository, SeaOrmUserRepository, SqlMigrator,
    UrlError,
};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    adapters::{
        inbound::{
            cli::exit::{Exit, Failure},
            http::{AdmissionLimits, Disclosure, Limits, RateLimit, Services, server::ConnectionLimits},
        },
        outbound::{
            clock::SystemClock,
            crypto::{
                cursors::SealingKey,
                mint::OsMint,
                passwords::{Argon2Hasher, HashingLimits},
                tokens::JwtAccessTokens,
            },
        },
    },
    config::{
        Config, SelectedDatabase,
        auth::{CouponAccess, RegistrationAccess, SigningSecret},
        coupons::ClaimEngine,
        database::PoolerKind,
        server::{Details, Rate},
    },
    telemetry::{Traces, Tracing},
};

/// The database to use, when there is one and nothing contradicts it.
pub(super) fn selected(config: &Config) -> Result<&SelectedDatabase, Failure> {
    let invalid = |message: String| {
        Failure::new(Exit::Configuration, "configuration_invalid", message)
            .hint("`dlc config show` tells where every value came from")
    };
    if let Some(contradiction) = config.contradictions().into_iter().next() {
        return Err(invalid(contradiction));
    }
    config.selected.as_ref().map_err(|why| invalid(why.clone()))
}

/// Options for connections of one command.
pub(super) fn database_options(config: &Config, selected: &SelectedDatabase, command: &str) -> DatabaseOptions {
    let settings = &config.database;
    let limit = |duration: Duration| (!duration.is_zero()).then_some(duration);
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    DatabaseOptions {
        url: selected.url.clone(),
        application_name: format!(
            "dlc {command} {} {host}/{}",
            env!("CARGO_PKG_VERSION"),
            std::process::id()
        ),
        max_connections: settings.max_open_conns,
        min_connections: settings.max_idle_conns,
        acquire_timeout: settings.acquire_timeout,
        connect_timeout: settings.connect_timeout,
        idle_timeout: settings.idle_timeout,
        max_lifetime: settings.conn_max_lifetime,
        statement_timeout: limit(settings.statement_timeout),
        lock_timeout: limit(settings.lock_timeout),
        idle_in_transaction_timeout: limit(settings.idle_in_transaction_timeout),
        pooler: match settings.pooler {
            PoolerKind::None => Pooler::None,
            PoolerKind::PgBouncer => Pooler::PgBouncer,
        },
        create_directory: selected.is_embedded_default,
    }
}

/// The replica for reads, where there is one: what holds for the primary's connections holds for its.
pub(super) fn replica_options(
    config: &Config,
    selected: &SelectedDatabase,
    primary: &DatabaseOptions,
) -> Option<ReplicaOptions> {
    let url = selected.replica_url.clone()?;
    Some(ReplicaOptions {
        database: DatabaseOptions { url, ..primary.clone() },
        max_lag: config.database.replica_max_lag,
        instances: config.database.instances,
    })
}

/// Traces, where they are wanted. Only inside of a runtime.
pub(super) fn traces(config: &Config) -> Result<Option<Traces>, Failure> {
    let Some(endpoint) = &config.traces.endpoint else {
        return Ok(None);
    };
    let tracing = Tracing {
        endpoint: endpoint.as_str().to_owned(),
        ratio: config.traces.ratio.0,
        service_name: config.traces.service_name.clone(),
        instance: Uuid::now_v7().to_string(),
    };
    Traces::begin(&tracing).map(Some).map_err(|why| {
        Failure::new(
            Exit::Configuration,
            "configuration_invalid",
            format!("traces cannot be taken: {why}"),
        )
        .hint("correct traces.endpoint, or leave it unset")
    })
}

/// The runner of migrations, on the direct address when there is one.
pub(super) fn migrator(
    config: &Config,
    selected: &SelectedDatabase,
    command: &str,
    migrations: &'static [Migration],
) -> Arc<SqlMigrator> {
    let mut options = database_options(config, selected, command);
    if let Some(url) = &selected.migration_url {
        options.url = url.clone();
        options.pooler = Pooler::None;
    }
    SqlMigrator::new(&options, migrator_settings(config, migrations))
}

/// The same on a clone that a person has named.
pub(super) fn migrator_on_clone(
    config: &Config,
    selected: &SelectedDatabase,
    url: &str,
    migrations: &'static [Migration],
) -> Result<Arc<SqlMigrator>, Failure> {
    let mut options = database_options(config, selected, "migrate plan");
    options.url = url.parse().map_err(|error: UrlError| {
        Failure::new(
            Exit::Configuration,
            "configuration_invalid",
            format!("--rehearse-on: {error}"),
        )
    })?;
    options.pooler = Pooler::None;
    Ok(SqlMigrator::new(&options, migrator_settings(config, migrations)))
}

pub(super) fn migrator_settings(config: &Config, migrations: &'static [Migration]) -> MigratorSettings {
    MigratorSettings {
        migrations,
        lock_timeout: config.migrate.lock_timeout,
        table_lock_timeout: config.migrate.table_lock_timeout,
        table_lock_tries: config.migrate.table_lock_tries,
    }
}

/// The maker of secrets.
pub(super) fn mint() -> Result<OsMint, Failure> {
    OsMint::new().map_err(|error| Failure::new(Exit::Failed, "randomness_missing", error.to_string()))
}

/// The secrets that tokens and cursors are signed with: the present one, and the one before. Without any in the configuration the
/// present one is made now, and ends with this process; strict profiles do not come so far.
pub(super) fn signing_secrets(config: &Config, mint: OsMint) -> (SecretString, Option<SecretString>) {
    let secret = |secret: &SigningSecret| secret.0.clone();
    let present = config.auth.secret.as_ref().map(secret);
    (
        present.unwrap_or_else(|| mint.signing_secret()),
        config.auth.previous_secret.as_ref().map(secret),
    )
}

/// Passwords hashed at a time by a service: each takes a core and 19 MiB.
const MOST_HASHING_THREADS: usize = 4;

/// Passwords that wait for each of them: a second or so, which is less than a request may take.
const QUEUE_PER_THREAD: usize = 64;

/// What a service may spend on passwords. Whoever waits is being worked on: half of those places at least are for others.
pub(super) fn hashing(config: &Config) -> HashingLimits {
    let threads = std::thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(MOST_HASHING_THREADS);
    let places = usize::try_from(config.server.max_in_flight).unwrap_or(usize::MAX);
    HashingLimits {
        threads,
        queue: (threads * QUEUE_PER_THREAD).min(places / 2).max(1),
    }
}

/// What a command may: one at a time.
pub(super) const HASHING_OF_A_COMMAND: HashingLimits = HashingLimits { threads: 1, queue: 1 };

/// The registry of accounts.
pub(super) fn users(config: &Config, database: &Database, hasher: Arc<Argon2Hasher>, mint: OsMint) -> UserService {
    UserService::new(
        SeaOrmUserRepository::new(database.clone()),
        hasher,
        Arc::new(mint),
        Arc::new(SystemClock),
        usize::from(config.auth.password_min_length.0),
    )
}

/// The door.
pub(super) fn auth(
    config: &Config,
    database: &Database,
    hasher: Arc<Argon2Hasher>,
    mint: OsMint,
    (present, previous): (&SecretString, Option<&SecretString>),
) -> AuthService {
    let ports = AuthPorts {
        users: SeaOrmUserRepository::new(database.clone()),
        sessions: SeaOrmSessionRepository::new(database.clone()),
        hasher,
        tokens: Arc::new(JwtAccessTokens::new(present, previous)),
        mint: Arc::new(mint),
        clock: Arc::new(SystemClock),
    };
    let policy = AuthPolicy {
        registration: match config.auth.registration {
            RegistrationAccess::Open => Registration::Open,
            RegistrationAccess::Admin => Registration::Admin,
            RegistrationAccess::Off => Registration::Off,
        },
        password_floor: usize::from(config.auth.password_min_length.0),
    };
    AuthService::new(ports, policy)
}

/// The guest book.
pub(super) fn greetings(database: &Database) -> GreetingService {
    GreetingService::new(SeaOrmGreetingRepository::new(database.clone()), Arc::new(SystemClock))
}

fn claim_engine(config: &Config) -> ClaimEngineMode {
    match config.coupons.engine {
        ClaimEngine::Group => ClaimEngineMode::Group,
        ClaimEngine::Single => ClaimEngineMode::Single,
    }
}

/// The coupon office. Only inside of a runtime.
pub(super) fn coupons(config: &Config, database: &Database) -> CouponService {
    CouponService::new(
        SeaOrmCouponRepository::new(database.clone(), claim_engine(config)),
        Arc::new(SystemClock),
    )
}

/// The business behind the API.
pub(super) fn services(config: &Config, database: &Database) -> Result<Services, Failure> {
    let mint = mint()?;
    let hasher = Arc::new(Argon2Hasher::new(hashing(config)));
    let (present, previous) = signing_secrets(config, mint);
    let secrets = (&present, previous.as_ref());
    Ok(Services {
        auth: Arc::new(auth(config, database, Arc::clone(&hasher), mint, secrets)),
        users: Arc::new(users(config, database, hasher, mint)),
        greetings: Arc::new(greetings(database)),
        coupons: Arc::new(coupons(config, database)),
        coupons_need_sign_in: config.auth.coupons == CouponAccess::Required,
        writes: database.write_log(),
        cursors: Arc::new(SealingKey::new(&present, previous.as_ref())),
        trusted_proxies: config.server.trusted_proxies.0.clone(),
    })
}

fn rate(rate: Rate) -> Option<RateLimit> {
    rate.0.map(|(requests, window)| RateLimit { requests, window })
}

pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        request_timeout: config.server.request_timeout,
        max_body_bytes: usize::try_from(config.server.max_body_bytes).unwrap_or(usize::MAX),
        rate: rate(config.server.rate_limit),
        credentials_rate: rate(config.auth.rate_limit),
        trusted_proxies: config.server.trusted_proxies.0.clone(),
    }
}

/// How much work there may be at a time.
pub(super) fn admission(config: &Config) -> AdmissionLimits {
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    AdmissionLimits {
        in_flight: count(config.server.max_in_flight),
        queue: count(config.server.max_queue),
    }
}

/// What a connection may cost.
pub(super) fn connection_limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        max_connections: usize::try_from(config.server.max_connections).unwrap_or(usize::MAX),
        header_timeout: config.server.header_timeout,
    }
}

pub(super) fn disclosure(config: &Config) -> Disclosure {
    match config.server.details {
        Details::Public => Disclosure::Public,
        Details::Loopback => Disclosure::Loopback,
        Details::Admin => Disclosure::Admin,
    }
}
