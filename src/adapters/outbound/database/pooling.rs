//! Whether a pooler in between can carry what is sent through it.
//!
//! Asked before it matters: one that cannot shows it to the second client only, as an error that nobody understands. Not here: whether
//! there is one at all (`migrator/postgres`).

use dlc_application::ports::connection::{ConnectError, ConnectFailure};

use crate::{
    error,
    options::{DatabaseOptions, Pooler},
    session::Session,
};

/// Asks for the same prepared statement as two clients that are lent the same server connection in turn. The inner error is what one
/// of them was told.
pub(crate) async fn knows_prepared_statements(
    session: &mut Session,
    options: &DatabaseOptions,
) -> Result<Result<(), sqlx::Error>, ConnectError> {
    let mut second = Session::Postgres(options.postgres_session().await?);
    for client in [session, &mut second] {
        for _ in 0..2 {
            if let Err(error) = client.rows("SELECT $1", &["prepared"]).await {
                return Ok(Err(error));
            }
        }
    }
    second.close().await;
    Ok(Ok(()))
}

/// Whether a service can work through what stands in between.
pub(crate) async fn carries_a_service(options: &DatabaseOptions) -> Result<(), ConnectError> {
    let mut session = Session::Postgres(options.postgres_session().await?);
    if options.pooler == Pooler::PgBouncer {
        let known = tokio::time::timeout(
            options.connect_timeout,
            knows_prepared_statements(&mut session, options),
        );
        let known = known.await.unwrap_or_else(|_| {
            let cause = format!("no answer within {} ms", options.connect_timeout.as_millis());
            Err(error::failed(ConnectFailure::TimedOut, cause, &options.url))
        })?;
        if let Err(said) = known {
            let error = error::connect(&said, &options.url);
            return Err(if error.failure == ConnectFailure::Pooler {
                ConnectError {
                    cause: format!("this pooler does not know prepared statements: {}", error.cause),
                    hint: Some(PREPARED.to_owned()),
                    ..error
                }
            } else {
                error
            });
        }
    }
    // A failure to say goodbye changes nothing about what this proved.
    session.close().await;
    Ok(())
}

const PREPARED: &str = "set max_prepared_statements in a PgBouncer of 1.21 or newer, to 100 for instance, or pool_mode = session; or let \
                        the database's URL go around it";
