//! The life of the service: handlers, listener, gate, serving, leaving (§3.4, §3.5, C17).

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use dlc_application::{
    operations::{
        check::{Finding, Status},
        migrate::{History, Target},
        readiness::{Phase, Readiness},
    },
    ports::{
        inspection::Engine,
        migrations::{MigrateError, MigrationEvent, MigrationObserver, RunRequest, SchemaMigrator, UpRequest},
    },
};
use dlc_database::{
    Database, DatabaseOptions, Migration, Pinger, SeaOrmSessionRepository, SqlKeptAnswers, SqlMigrator, SqlMonitor,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    doctor::{self, GATE_CHECKS},
    forgetting, services,
    signals::Signals,
    tls,
};
use crate::{
    adapters::{
        inbound::{
            cli::{
                exit::{Exit, Failure, plain},
                migrate::Progress,
            },
            http::{
                Api, Watched,
                server::{self, Plain},
            },
        },
        outbound::clock::SystemClock,
    },
    config::{Config, SelectedDatabase, migrate::MigrateMode},
    telemetry::Traces,
};

/// How often the database is asked whether it is there, and how long it may take to say so (§3.5).
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_LIMIT: Duration = Duration::from_secs(1);
/// Least time between two, where requests meet broken connections.
const PING_APART: Duration = Duration::from_millis(100);
/// How often the doctor looks at the database of a running service, for the gauges.
const EXAMINED_EVERY: Duration = Duration::from_secs(30);
/// Connections that the kernel keeps until they are accepted, at most (its net.core.somaxconn may be lower). The usual 128 are
/// too few for a crowd that comes at once: the kernel would drop the others, and they would try again after a second.
const BACKLOG: u32 = 4096;
/// How often it is said that the database is still waited for.
const WAITING_SAID_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for the database's connections to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Longest wait for the collector to take the last traces.
const TRACES_LIMIT: Duration = Duration::from_secs(2);

/// Serves until a signal comes.
pub(super) async fn serve(
    config: &Config,
    started: Instant,
    migrations: &'static [Migration],
    traces: Option<Traces>,
) -> Result<Exit, Failure> {
    let signals = Signals::install().map_err(|error| {
        Failure::new(
            Exit::Failed,
            "signals_failed",
            format!("signals cannot be handled: {error}"),
        )
    })?;
    if let Some(missing) = config.missing_to_serve().into_iter().next() {
        return Err(
            Failure::new(Exit::Configuration, "configuration_incomplete", missing).hint(format!(
                "the profile {} is strict; for a try-out: --profile development",
                config.profile
            )),
        );
    }
    let selected = services::selected(config)?;
    warn_about(config, selected);
    // Before anything is opened: no certificate, no service.
    let (transport, renewal) = tls::load(&config.tls)?.unzip();
    tls::keep(renewal, Arc::clone(&signals.reload));

    let readiness = Arc::new(Readiness::new(started));
    let api = Api::new(Arc::clone(&readiness), services::admission(config));
    let (listener, address) = listen(config.server.host, config.server.port, "--port").await?;
    tracing::info!(address, "listening");
    let stop = CancellationToken::new();
    let limits = services::limits(config);
    let metrics_here = config.metrics.listen.is_none();
    let endpoint = api.endpoint(
        services::disclosure(config),
        limits.clone(),
        &config.server.cors_origins.0,
        metrics_here,
    );
    if let Some(address) = config.metrics.listen {
        let (listener, address) = listen(address.ip(), address.port(), "metrics.listen").await?;
        tracing::info!(address, "metrics");
        let endpoint = api.metrics_endpoint(limits);
        tokio::spawn(server::serve(
            listener,
            endpoint,
            Plain,
            services::connection_limits(config),
            stop.clone(),
        ));
    }
    let connections = services::connection_limits(config);
    // No time limit here: `leave` keeps the time.
    let server = match transport.clone() {
        None => tokio::spawn(server::serve(listener, endpoint, Plain, connections, stop.clone())),
        Some(tls) => tokio::spawn(server::serve(listener, endpoint, tls, connections, stop.clone())),
    };

    let options = services::database_options(config, selected, "serve");
    // What goes on beside the requests.
    let mut background = JoinSet::new();
    let (database, replica) = tokio::select! {
        opened = start(config, selected, &options, &readiness, &api, migrations, &mut background) => opened?,
        () = signals.leave.cancelled() => {
            readiness.enter(Phase::Stopping);
            if let Some(traces) = traces {
                traces.end(TRACES_LIMIT).await;
            }
            return Ok(Exit::Done);
        }
    };
    background.spawn(monitor(options, Arc::clone(&readiness), api));
    let scheme = if transport.is_some() { "https" } else { "http" };
    announce(scheme, &address, selected, started);

    signals.leave.cancelled().await;
    readiness.enter(Phase::Stopping);
    // Nobody asks about the database any more, and its last connection should be the writer's, which tidies up.
    background.shutdown().await;
    let leave = leave(config, stop, server, &database, replica, traces);
    let exit = tokio::select! {
        clean = leave => if clean { Exit::Done } else { Exit::Failed },
        () = signals.force.cancelled() => Exit::Failed,
    };
    if exit == Exit::Done {
        tracing::info!("stopped");
    } else {
        tracing::warn!(
            code = "stop_forced",
            "stopped by force: requests in flight were cut off"
        );
    }
    Ok(exit)
}

fn warn_about(config: &Config, selected: &SelectedDatabase) {
    for warning in config.warnings.unknown.iter().chain(&config.warnings.disagreements) {
        tracing::warn!("{warning}");
    }
    if selected.sample_password {
        tracing::warn!("the database's password is a sample from documentation; make one: dlc config gen-password");
    }
    if let Some(driver) = selected.url.stripped_driver() {
        tracing::info!("the driver suffix +{driver} of the database URL was dropped");
    }
}

async fn listen(host: IpAddr, port: u16, setting: &str) -> Result<(TcpListener, String), Failure> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot listen on {host}:{port}: {}", plain(&error));
        Failure::new(Exit::Failed, "listen_failed", message).hint(if error.kind() == std::io::ErrorKind::AddrInUse {
            format!("another program has that port: stop it, or take another one with {setting}")
        } else {
            format!("choose another address, or another port with {setting}")
        })
    };
    let socket = if host.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
    .map_err(failed)?;
    // A port whose last connections are not forgotten yet is free.
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind((host, port).into()).map_err(failed)?;
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?.to_string();
    Ok((listener, address))
}

/// Everything before the gate opens.
async fn start(
    config: &Config,
    selected: &SelectedDatabase,
    options: &DatabaseOptions,
    readiness: &Arc<Readiness>,
    api: &Api,
    migrations: &'static [Migration],
    background: &mut JoinSet<()>,
) -> Result<(Database, JoinSet<()>), Failure> {
    // Where others see to the schema, perhaps at another address, the service looks for it at its own.
    let migrator = match config.migrate.mode {
        MigrateMode::Off => SqlMigrator::new(options, services::migrator_settings(config, migrations)),
        MigrateMode::Auto | MigrateMode::Check => services::migrator(config, selected, "serve", migrations),
    };
    let migrate = async || migrate(config, migrator.as_ref(), readiness).await;
    // A service that opens a file for writing makes it, and makes it one of its own; so it is looked at, and migrated, before.
    let is_file = selected.url.engine() == Engine::Sqlite;
    if is_file {
        readiness.enter(Phase::Checking);
        migrate().await?;
    }
    let mut said: Option<Instant> = None;
    let database = dlc_database::connect_and_wait(options, config.database.wait, |error, left| {
        readiness.database_failed(error.failure);
        if said.is_none_or(|at| at.elapsed() >= WAITING_SAID_EVERY) {
            said = Some(Instant::now());
            let code = error.failure.code();
            tracing::warn!(
                code,
                "waiting for the database, {}s left: {}",
                left.as_secs(),
                error.cause
            );
        }
    })
    .await?;
    let doctor = doctor::of_a_running_service(config, options, migrations);
    api.watch(Watched {
        monitor: SqlMonitor::new(database.clone()),
        doctor: Arc::clone(&doctor),
    });
    if !is_file {
        readiness.enter(Phase::Checking);
        migrate().await?;
    }
    let gatekeeper = doctor::at_the_gate(config, options, migrations);
    let findings = gatekeeper.examine().await.findings;
    let is_refusal = |finding: &Finding| finding.status == Status::Fail && GATE_CHECKS.contains(&finding.id);
    if let Some(finding) = findings.into_iter().find(is_refusal) {
        return Err(Failure::unfit("before serving", finding));
    }
    let mut watching = JoinSet::new();
    if let Some(replica) = services::replica_options(config, selected, options) {
        watching.spawn(database.attach_replica(options, &replica).run());
    }
    api.open(&services::services(config, &database)?);
    background.spawn(forgetting::forget(
        SqlKeptAnswers::new(database.clone()),
        SeaOrmSessionRepository::new(database.clone()),
        Arc::new(SystemClock),
    ));
    readiness.database_answered(Duration::ZERO);
    background.spawn(async move {
        let mut rounds = tokio::time::interval(EXAMINED_EVERY);
        loop {
            rounds.tick().await;
            doctor.examine().await;
        }
    });
    readiness.enter(Phase::Serving);
    Ok((database, watching))
}

/// The history, as soon as it can be read: somebody may have locked the file, or migrations go to another address.
async fn history(config: &Config, migrator: &dyn SchemaMigrator) -> Result<History, MigrateError> {
    let started = Instant::now();
    loop {
        let left = config.database.wait.saturating_sub(started.elapsed());
        let history = migrator.history().await;
        let (failure, cause) = match &history {
            Err(MigrateError::Connect(error)) => (error.failure, &error.cause),
            Err(MigrateError::Storage { failure, cause }) => (*failure, cause),
            _ => return history,
        };
        if !failure.heals() || left.is_zero() {
            return history;
        }
        let code = failure.code();
        tracing::warn!(code, "waiting for the database, {}s left: {cause}", left.as_secs());
        tokio::time::sleep(PING_EVERY.min(left)).await;
    }
}

async fn migrate(config: &Config, migrator: &dyn SchemaMigrator, readiness: &Arc<Readiness>) -> Result<(), Failure> {
    let history = history(config, migrator).await;
    if config.migrate.mode == MigrateMode::Off {
        // Before the others have begun, each request would fail.
        return match history {
            Ok(history) if !history.is_recorded() => {
                let message = "the database was never migrated, and migrate.mode is off";
                Err(Failure::new(Exit::Failed, "migrations_pending", message).hint("dlc migrate up"))
            }
            Err(error @ (MigrateError::NoSchema | MigrateError::OtherSchema { .. })) => Err(error.into()),
            // Perhaps this role may not read the history. The gate looks at what it needs.
            _ => Ok(()),
        };
    }
    let history = history?;
    history.validate().map_err(MigrateError::from)?;
    let newer: Vec<&str> = history.newer().collect();
    if !newer.is_empty() {
        tracing::warn!(
            "the database is ahead of this binary by {}, which only add: it serves all the same",
            newer.join(", ")
        );
    }
    let pending = history.pending().count();
    if pending == 0 {
        return Ok(());
    }
    if config.migrate.mode == MigrateMode::Check {
        history.validate_finished().map_err(MigrateError::from)?;
        let message = format!("{pending} migrations are pending, and migrate.mode is check");
        return Err(Failure::new(Exit::Failed, "migrations_pending", message).hint("dlc migrate up"));
    }
    let request = RunRequest::Up(UpRequest {
        target: Target::All,
        allow_destructive: config.migrate.allow_destructive,
    });
    let progress = StartProgress {
        readiness: Arc::clone(readiness),
        teller: Progress::lines(|line| tracing::info!("{line}")),
    };
    migrator.run(&request, &progress).await?;
    Ok(())
}

/// Tells of migrations in the log and on `/startupz`.
struct StartProgress {
    readiness: Arc<Readiness>,
    teller: Progress,
}

impl MigrationObserver for StartProgress {
    fn observe(&self, event: &MigrationEvent) {
        match event {
            MigrationEvent::Waiting { holder, .. } => self.readiness.wait_for(holder.to_string()),
            MigrationEvent::Started { name, step, of } => {
                self.readiness.enter(Phase::Migrating {
                    step: *step,
                    of: *of,
                    current: name.clone(),
                });
            }
            MigrationEvent::Finished(step) => tracing::info!(ms = step.took.as_millis(), "applied {}", step.name),
            MigrationEvent::Statement { .. }
            | MigrationEvent::StatementDone { .. }
            | MigrationEvent::Retrying { .. } => {}
        }
        self.teller.observe(event);
    }
}

fn announce(scheme: &str, address: &str, selected: &SelectedDatabase, started: Instant) {
    // All addresses is no place to go to.
    let address = address.replace("0.0.0.0", "localhost").replace("[::]", "localhost");
    tracing::info!("API       {scheme}://{address}/api/v1");
    tracing::info!("explorer  {scheme}://{address}/docs");
    tracing::info!("database  {} ({})", selected.url.redacted(), selected.source);
    tracing::info!("ready in {} ms; Ctrl-C stops", started.elapsed().as_millis());
}

/// Keeps readiness true.
async fn monitor(options: DatabaseOptions, readiness: Arc<Readiness>, api: Api) {
    let mut pinger = Pinger::new(&options);
    let mut ticks = tokio::time::interval(PING_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = api.database_doubted() => {}
        }
        match pinger.ping(PING_LIMIT).await {
            Ok(latency) => {
                if readiness.database_answered(latency) {
                    tracing::info!("the database is back");
                }
            }
            Err(failure) => {
                if readiness.database_failed(failure) {
                    tracing::error!(code = failure.code(), "the database is lost: {}", failure.phrase());
                }
            }
        }
        // However many requests fail, the database has other things to do.
        tokio::time::sleep(PING_APART).await;
    }
}

/// Leaves in the order of C17. Returns whether no request was cut off.
async fn leave(
    config: &Config,
    stop: CancellationToken,
    mut server: tokio::task::JoinHandle<()>,
    database: &Database,
    mut replica: JoinSet<()>,
    traces: Option<Traces>,
) -> bool {
    tokio::time::sleep(config.shutdown.delay).await;
    stop.cancel();
    // Each connection ends when what it has under way is done, and half a request does not keep it.
    let drained = tokio::time::timeout(config.shutdown.timeout, &mut server).await.is_ok();
    server.abort();
    // Answers to the last writes told where the log was, for whoever reads at the next instance.
    replica.shutdown().await;
    let closed = database.close(CLOSE_LIMIT).await;
    if !closed.database {
        tracing::warn!("the database did not let every connection go in time");
    }
    if !closed.replica {
        tracing::warn!("the replica did not let every connection go in time");
    }
    if let Some(traces) = traces
        && !traces.end(TRACES_LIMIT).await
    {
        tracing::warn!("the collector did not take the last traces in time");
    }
    drained
}
