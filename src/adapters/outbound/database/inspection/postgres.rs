//! Facts about a PostgreSQL server and the way to it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use dlc_application::ports::{
    connection::{ConnectError, ConnectFailure},
    inspection::{Facts, NetworkFacts, ServerFacts, Timed},
};
use sqlx::{Executor, PgConnection, Row};
use tokio::net::{TcpStream, UnixStream};

use super::{Round, certificate, timed};
use crate::{error, options::DatabaseOptions, schema::holder, session::Session};

/// How often the way there and back is measured (§3.3, CAP004).
const ROUND_TRIPS: usize = 5;
/// Longest wait for a TCP connection (§3.3, NET002).
const TCP_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn inspect(round: &Round<'_>, mut facts: Facts) -> Facts {
    let options = round.options;
    facts.network = Some(network(options, round.left()).await);
    let reachable = facts
        .network
        .as_ref()
        .and_then(|network| network.connection.as_ref())
        .is_some_and(|connection| connection.value.is_ok());
    if !reachable {
        return facts;
    }
    let opened = timed(within(round, options.postgres_session())).await;
    let took = opened.took;
    let mut first = match opened.value {
        Ok(session) => session,
        Err(error) => {
            if error.failure == ConnectFailure::Tls {
                look_at_certificate(round, &mut facts).await;
            }
            facts.server = Some(Timed {
                value: Err(error),
                took,
            });
            return facts;
        }
    };
    // The second is made while the first one measures; both answer afterwards.
    let (server, second, ()) = tokio::join!(
        within(round, server(&mut first, options)),
        within(round, options.postgres_session()),
        look_at_certificate(round, &mut facts)
    );
    let mut second = second.ok();
    let value = match server {
        Ok((mut server, pid)) => {
            server.session_affinity = match &mut second {
                Some(second) => within(round, session_affinity(second, pid, options)).await.ok(),
                None => None,
            };
            Ok(server)
        }
        Err(error) => Err(error),
    };
    let is_answering = value.is_ok();
    facts.server = Some(Timed { value, took });
    let mut first = Session::Postgres(first);
    let mut second = second.map(Session::Postgres);
    if is_answering {
        let is_usable = super::read_history(&mut first, &mut facts, round).await;
        let first = Some(&mut first).filter(|_| is_usable);
        super::ask(first.into_iter().chain(&mut second), &mut facts, round).await;
    }
    tokio::join!(super::close(first), async {
        if let Some(second) = second {
            super::close(second).await;
        }
    });
    facts
}

/// Looks at the server's certificate, where there can be one.
async fn look_at_certificate(round: &Round<'_>, facts: &mut Facts) {
    let postgres = round.options.url.postgres_options().unwrap_or_default();
    let Some(network) = facts.network.as_mut() else { return };
    if postgres.get_socket().is_some() || round.options.url.encryption_disabled() {
        return;
    }
    let host = postgres.get_host().trim_start_matches('[').trim_end_matches(']');
    let look = certificate::of(host, postgres.get_port());
    // What cannot be looked at is no trouble: the session tells whether the encryption works.
    network.certificate = match tokio::time::timeout(round.left(), look).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => None,
    };
}

async fn within<T>(round: &Round<'_>, find: impl Future<Output = Result<T, ConnectError>>) -> Result<T, ConnectError> {
    let limit = round.left();
    tokio::time::timeout(limit, find).await.unwrap_or_else(|_| {
        let failure = ConnectFailure::TimedOut;
        Err(error::failed(failure, super::late(limit).words, &round.options.url))
    })
}

async fn network(options: &DatabaseOptions, limit: Duration) -> NetworkFacts {
    let limit = limit.min(TCP_TIMEOUT);
    let postgres = options.url.postgres_options().unwrap_or_default();
    if let Some(socket) = postgres.get_socket() {
        let path = socket.join(format!(".s.PGSQL.{}", postgres.get_port()));
        let connection = timed(attempt(options, limit, UnixStream::connect(&path))).await;
        return NetworkFacts {
            address: path.display().to_string(),
            resolution: None,
            connection: Some(connection),
            is_local: true,
            certificate: None,
        };
    }
    let (host, port) = (postgres.get_host(), postgres.get_port());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let literal: Option<IpAddr> = bare.parse().ok();
    let (resolution, addresses) = match literal {
        Some(address) => (None, vec![address]),
        None => {
            let found = timed(resolve(host, port, limit)).await;
            let addresses = found.value.clone().unwrap_or_default();
            (Some(found), addresses)
        }
    };
    let mut connection = None;
    // Each has its share: one that is silent must not keep the others from being tried.
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in &addresses {
        let connecting = TcpStream::connect(SocketAddr::new(*address, port));
        let found = timed(attempt(options, share, connecting)).await;
        let connected = found.value.is_ok();
        connection = Some(found);
        if connected {
            break;
        }
    }
    NetworkFacts {
        address: format!("{host}:{port}"),
        resolution,
        connection,
        is_local: host == "localhost" || addresses.iter().any(IpAddr::is_loopback),
        certificate: None,
    }
}

async fn resolve(host: &str, port: u16, limit: Duration) -> Result<Vec<IpAddr>, String> {
    match tokio::time::timeout(limit, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            addresses.dedup();
            Ok(addresses)
        }
        Ok(Err(e)) => Err(error::io_words(&e)),
        Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
    }
}

async fn attempt<T>(
    options: &DatabaseOptions,
    limit: Duration,
    connecting: impl Future<Output = io::Result<T>>,
) -> Result<(), ConnectError> {
    let result = tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} ms", limit.as_millis()),
        ))
    });
    result
        .map(|_| ())
        .map_err(|e| error::connect(&sqlx::Error::Io(e), &options.url))
}

async fn server(session: &mut PgConnection, options: &DatabaseOptions) -> Result<(ServerFacts, i32), ConnectError> {
    let failed = |e: sqlx::Error| error::connect(&e, &options.url);
    let (mut server, pid) = identify(session).await.map_err(failed)?;
    let mut trips = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let (asked, here) = (Instant::now(), SystemTime::now());
        let row = session
            .fetch_one("SELECT extract(epoch FROM clock_timestamp())::float8")
            .await
            .map_err(failed)?;
        let trip = asked.elapsed();
        // The server read its clock about halfway.
        let here = here.duration_since(UNIX_EPOCH).unwrap_or_default() + trip / 2;
        server.clock_ahead = here.as_secs_f64() - row.get::<f64, _>(0);
        trips.push(trip);
    }
    trips.sort_unstable();
    server.round_trip = trips[ROUND_TRIPS / 2];
    server.migration_lock_holder = holder::holder_in_words(session).await.map_err(failed)?;
    Ok((server, pid))
}

/// What one question tells, and the process that answered it; what has to be measured is zero.
pub(super) async fn identify(session: &mut PgConnection) -> Result<(ServerFacts, i32), sqlx::Error> {
    let row = session
        .fetch_one(
            "SELECT current_setting('server_version_num')::int, version(), pg_is_in_recovery(), \
                    current_setting('default_transaction_read_only') = 'on', \
                    (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), pg_backend_pid(), \
                    quote_ident(current_database()), quote_ident(current_user), \
                    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                                                             AND query = '<insufficient privilege>'), \
                    (SELECT source IN ('user', 'database user') FROM pg_settings \
                     WHERE name = 'default_transaction_read_only')",
        )
        .await?;
    let server = ServerFacts {
        version_num: row.get(0),
        version: row.get(1),
        in_recovery: row.get(2),
        read_only: row.get(3),
        read_only_by_role: row.get(9),
        tls: row.get(4),
        session_affinity: None,
        migration_lock_holder: None,
        database: row.get(6),
        role: row.get(7),
        hidden_sessions: u32::try_from(row.get::<i64, _>(8)).unwrap_or(u32::MAX),
        round_trip: Duration::ZERO,
        clock_ahead: 0.0,
    };
    Ok((server, row.get(5)))
}

/// Whether a second session, while the first lies idle, is given another server process than the one that served the first:
/// only a pooler that lends processes per transaction gives the very same.
async fn session_affinity(
    second: &mut PgConnection,
    first: i32,
    options: &DatabaseOptions,
) -> Result<bool, ConnectError> {
    let row = second.fetch_one("SELECT pg_backend_pid()").await;
    let row = row.map_err(|e| error::connect(&e, &options.url))?;
    Ok(row.get::<i32, _>(0) != first)
}
