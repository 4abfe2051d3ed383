//! Forgetting what is of no use to anybody: sessions without a token that is good, old failures, expired codes.
//!
//! A flag `allow_password_reset` stays when its code is forgotten, and is good for nothing without one.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use dlc_application::ports::StorageError;
use dlc_domain::sessions::FAILURES_FORGOTTEN_AFTER;

use crate::{cleaning::Old, connection::Database, statements::Statement as Kind, statistics::Operation};

/// Rows forgotten by one statement: few enough that nobody waits for its locks. A session may have thousands of tokens.
const FORGOTTEN_AT_ONCE: u32 = 100;

/// Between two of them: whoever waits to write goes first.
const BREATH: Duration = Duration::from_millis(50);

const SESSIONS: Old = Old {
    kind: Kind::DELETE_SESSIONS,
    table: "sessions",
    key: "id",
    time: "expires_at",
};
const FAILURES: Old = Old {
    kind: Kind::DELETE_SIGN_IN_FAILURES,
    table: "sign_in_failures",
    key: "name_digest",
    time: "failed_at",
};
const CODES: Old = Old {
    kind: Kind::DELETE_PASSWORD_RESETS,
    table: "password_resets",
    key: "user_id",
    time: "expires_at",
};

pub(super) async fn forget(database: &Database, now: DateTime<Utc>) -> Result<u64, StorageError> {
    // What is good until a time is not any more at that very time.
    let expired = now + TimeDelta::microseconds(1);
    let mut forgotten = 0;
    for (old, before) in [
        (SESSIONS, expired),
        (FAILURES, expired - FAILURES_FORGOTTEN_AFTER),
        (CODES, expired),
    ] {
        loop {
            let delete = old.delete(database, before, FORGOTTEN_AT_ONCE);
            let deleted = database.counters().observe(Operation::ForgetSessions, delete).await?;
            forgotten += deleted;
            if deleted < u64::from(FORGOTTEN_AT_ONCE) {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
    }
    Ok(forgotten)
}
