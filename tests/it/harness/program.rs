//! The program with other migrations than the shipped ones: binaries of other ages, mistakes that an author can make, and a
//! runner that is killed at a chosen moment.
//!
//! It is this very test binary: started with [`MIGRATIONS`] in its environment it is the program, before anything of the
//! test framework runs.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use dlc::{
    application::{
        operations::migrate::Target,
        ports::migrations::{DownRequest, MigrationEvent, MigrationObserver, RunRequest, SchemaMigrator, UpRequest},
    },
    database::{Atomicity, Kind, MIGRATIONS as SHIPPED, Migration, MigratorSettings, Script, SqlMigrator},
};
use rustix::process::{Signal, getpid, kill_process};

use super::{Engine, database::options_of};

/// Names the set of migrations.
pub const MIGRATIONS: &str = "AS_DLC_WITH";
/// Names the event at which the runner kills itself, counted from 0.
pub const KILLED_AT: &str = "AS_DLC_KILLED_AT";
/// Set: that runner reverts everything instead of applying it.
pub const REVERTING: &str = "AS_DLC_REVERTING";

/// Adds a column: older binaries go on working.
pub const EXPAND: &str = "m20270101_000006_add_note";
/// Drops a table: older binaries do not.
pub const CONTRACT: &str = "m20270201_000007_drop_greet_history";
/// Builds an index without a transaction (PostgreSQL).
pub const CONCURRENT: &str = "m20270101_000006_index_created_at";
/// Takes as long as a table called gate stands.
pub const SLOW: &str = "m20270101_000006_slow";
/// The same, older than all others.
const SLOW_FIRST: &str = "m20260101_000000_slow";
/// Rewrites a table on PostgreSQL.
pub const REWRITE: &str = "m20270101_000006_rewrite";

/// A migration that runs the same SQL on both engines.
const fn same(name: &'static str, kind: Kind, up: &'static [&'static str], down: &'static [&'static str]) -> Migration {
    Migration {
        name,
        kind,
        atomicity: Atomicity::Transaction,
        up: Script {
            postgres: up,
            sqlite: up,
        },
        down: Script {
            postgres: down,
            sqlite: down,
        },
    }
}

const ADD_NOTE: Migration = same(
    EXPAND,
    Kind::Expand,
    &["ALTER TABLE coupons ADD COLUMN note text"],
    &["ALTER TABLE coupons DROP COLUMN note"],
);

const DROP_GREET_HISTORY: Migration = same(
    CONTRACT,
    Kind::Contract,
    &["DROP TABLE greet_history"],
    &["CREATE TABLE greet_history (id integer PRIMARY KEY, message text NOT NULL)"],
);

const INDEX_CREATED_AT: Migration = Migration {
    atomicity: Atomicity::StatementByStatement,
    up: Script {
        postgres: &[
            "DROP INDEX CONCURRENTLY IF EXISTS idx_claims_created_at",
            "CREATE INDEX CONCURRENTLY idx_claims_created_at ON claims (created_at)",
        ],
        sqlite: &["CREATE INDEX idx_claims_created_at ON claims (created_at)"],
    },
    down: Script {
        postgres: &["DROP INDEX CONCURRENTLY IF EXISTS idx_claims_created_at"],
        sqlite: &["DROP INDEX idx_claims_created_at"],
    },
    ..same(CONCURRENT, Kind::Expand, &[], &[])
};

/// A unique index on a column that has the same value twice fails when half of it is built.
const INDEX_THAT_FAILS: Migration = Migration {
    up: Script {
        postgres: &[
            "DROP INDEX CONCURRENTLY IF EXISTS idx_claims_created_at",
            "CREATE UNIQUE INDEX CONCURRENTLY idx_claims_created_at ON claims (coupon_name)",
        ],
        ..INDEX_CREATED_AT.up
    },
    ..INDEX_CREATED_AT
};

const WAIT_FOR_GATE: Migration = Migration {
    up: Script {
        postgres: &[
            "CREATE TABLE slow (id integer)",
            "DO $$ BEGIN IF to_regclass('gate') IS NOT NULL THEN PERFORM pg_sleep(60); END IF; END $$",
        ],
        sqlite: &[
            "CREATE TABLE slow (id integer)",
            "INSERT INTO slow WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < \
             (SELECT CASE count(*) WHEN 0 THEN 1 ELSE 1000000000 END FROM sqlite_master WHERE name = 'gate')) \
             SELECT max(n) FROM c",
        ],
    },
    ..same(SLOW, Kind::Expand, &[], &["DROP TABLE slow"])
};

/// The same, and comes to its end as soon as the gate is gone.
const WAIT_AT_GATE: Migration = Migration {
    up: Script {
        postgres: &[
            "CREATE TABLE slow (id integer)",
            "DO $$ BEGIN WHILE EXISTS (SELECT 1 FROM pg_class WHERE relname = 'gate') LOOP PERFORM pg_sleep(0.05); END LOOP; END $$",
        ],
        ..WAIT_FOR_GATE.up
    },
    ..WAIT_FOR_GATE
};

/// Statements that a plan must not try: they reach live tables, or beyond tables.
const REACH_BEYOND: Migration = Migration {
    up: Script {
        postgres: &[
            "TRUNCATE public.greet_history",
            "ALTER TABLE public.coupons ADD COLUMN n integer",
            "CREATE SCHEMA made_by_plan",
            "INSERT INTO users (username, password_hash) SELECT 'planned', 'x'",
        ],
        sqlite: &[
            "DELETE FROM main.greet_history",
            "ALTER TABLE coupons ADD COLUMN n integer",
        ],
    },
    ..same("m20270101_000006_beyond", Kind::Expand, &[], &["DROP TABLE nothing"])
};

/// Changes rows and no object.
const RAISE: Migration = same(
    "m20270101_000006_raise",
    Kind::Expand,
    &["UPDATE coupons SET amount = amount + 1, remaining_amount = remaining_amount + 1"],
    &["UPDATE coupons SET amount = amount - 1, remaining_amount = remaining_amount - 1"],
);

/// SQLite changes a table by making another one; `claims` refers to it all the while.
const REBUILD: Migration = Migration {
    up: Script {
        postgres: &["ALTER TABLE coupons ADD COLUMN note text"],
        sqlite: &[
            "CREATE TABLE new_coupons (name TEXT PRIMARY KEY, amount INTEGER NOT NULL, remaining_amount INTEGER NOT NULL, \
             created_at TEXT, note TEXT)",
            "INSERT INTO new_coupons SELECT name, amount, remaining_amount, created_at, NULL FROM coupons",
            "DROP TABLE coupons",
            "ALTER TABLE new_coupons RENAME TO coupons",
        ],
    },
    ..same("m20270101_000006_rebuild", Kind::Expand, &[], &["DROP TABLE nothing"])
};

/// The same by somebody who forgot the rows.
const REBUILD_EMPTY: Migration = Migration {
    up: Script {
        sqlite: &[
            "DROP TABLE coupons",
            "CREATE TABLE coupons (name TEXT PRIMARY KEY, amount INTEGER NOT NULL, remaining_amount INTEGER NOT NULL)",
        ],
        ..REBUILD.up
    },
    ..REBUILD
};

const REWRITE_CLAIMS: Migration = Migration {
    up: Script {
        postgres: &[
            "ALTER TABLE claims ADD COLUMN note text",
            "ALTER TABLE claims ALTER COLUMN id TYPE bigint",
            "ALTER TABLE claims ADD CONSTRAINT claims_note_short CHECK (length(note) < 9)",
            "CREATE INDEX idx_claims_note ON claims (note)",
        ],
        sqlite: &[
            "ALTER TABLE claims ADD COLUMN note text",
            "ALTER TABLE claims DROP COLUMN created_at",
            "CREATE INDEX idx_claims_note ON claims (note)",
        ],
    },
    ..same(REWRITE, Kind::Contract, &[], &["DROP INDEX idx_claims_note"])
};

/// The sets by name.
fn migrations(set: &str) -> &'static [Migration] {
    let with = |more: &[Migration]| SHIPPED.iter().chain(more).copied().collect::<Vec<_>>();
    let changed = |index: usize, up: &'static [&'static str]| {
        let mut all = SHIPPED.to_vec();
        all[index].up = Script {
            postgres: up,
            sqlite: up,
        };
        all
    };
    let set = match set {
        "shipped" => SHIPPED.to_vec(),
        "expanded" => with(&[ADD_NOTE]),
        "contracted" => with(&[ADD_NOTE, DROP_GREET_HISTORY]),
        "edited" => changed(
            0,
            &["CREATE TABLE bootstrap_metadata (bootstrap_version integer PRIMARY KEY)"],
        ),
        // The same table, in other words.
        "reworded" => {
            let mut all = SHIPPED.to_vec();
            all[4].up = reworded(&SHIPPED[4].up);
            all
        }
        "without claims" => {
            let needs_them =
                |migration: &Migration| ["claims", "sales"].iter().any(|word| migration.name.contains(word));
            SHIPPED
                .iter()
                .copied()
                .filter(|migration| !needs_them(migration))
                .collect()
        }
        "concurrent" => with(&[INDEX_CREATED_AT]),
        "concurrent that fails" => with(&[INDEX_THAT_FAILS]),
        "slow" => with(&[WAIT_FOR_GATE]),
        // The very first one, so that whoever ends it ends a run that has done nothing yet.
        "slow from the first" => {
            let first = Migration {
                name: SLOW_FIRST,
                ..WAIT_FOR_GATE
            };
            [&[first], SHIPPED].concat()
        }
        "at the gate" => with(&[WAIT_AT_GATE]),
        "beyond" => with(&[REACH_BEYOND]),
        "raising" => with(&[RAISE, DROP_GREET_HISTORY]),
        "rebuilding" => with(&[REBUILD]),
        "rebuilding without rows" => with(&[REBUILD_EMPTY]),
        "rewriting" => with(&[REWRITE_CLAIMS]),
        other => panic!("no set of migrations is called {other}"),
    };
    set.leak()
}

/// How many events a run of all of them has: a beginning and an end for each migration and for each statement.
pub fn events(set: &str, engine: Engine) -> usize {
    let statements = |script: &Script| match engine {
        Engine::Sqlite => script.sqlite.len(),
        Engine::Postgres => script.postgres.len(),
    };
    migrations(set)
        .iter()
        .map(|migration| 2 + 2 * statements(&migration.up))
        .sum()
}

/// Other text, the same schema: an index that is made in one more step.
fn reworded(script: &Script) -> Script {
    let more = |statements: &'static [&'static str]| -> &'static [&'static str] {
        let mut all = statements.to_vec();
        all.push("DROP INDEX IF EXISTS idx_that_never_was");
        all.leak()
    };
    Script {
        postgres: more(script.postgres),
        sqlite: more(script.sqlite),
    }
}

#[ctor::ctor(unsafe)]
fn become_the_program() {
    let Ok(set) = std::env::var(MIGRATIONS) else { return };
    #[cfg(coverage)]
    count_lines();
    let migrations = migrations(&set);
    let code = match std::env::var(KILLED_AT) {
        Ok(at) => run_until(at.parse().unwrap(), migrations),
        Err(_) => {
            let environment: BTreeMap<OsString, OsString> =
                std::env::vars_os().filter(|(name, _)| name != MIGRATIONS).collect();
            dlc::bootstrap::run(std::env::args_os(), environment.into_iter(), migrations)
        }
    };
    let number = (0..=u8::MAX).find(|number| ExitCode::from(*number) == code).unwrap();
    std::process::exit(i32::from(number));
}

/// Begins the counting of lines, which else begins after this: `scripts/coverage`.
#[cfg(coverage)]
#[allow(unsafe_code)]
fn count_lines() {
    unsafe extern "C" {
        fn __llvm_profile_initialize();
    }
    // SAFETY: LLVM's runtime is linked in wherever its counters are, and this is what it calls itself at the start.
    unsafe { __llvm_profile_initialize() }
}

/// Kills its own process at an event.
struct Killer {
    at: usize,
    seen: AtomicUsize,
}

impl MigrationObserver for Killer {
    fn observe(&self, _: &MigrationEvent) {
        if self.seen.fetch_add(1, Ordering::Relaxed) == self.at {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    }
}

fn run_until(at: usize, migrations: &'static [Migration]) -> ExitCode {
    let url = std::env::var("DATABASE_URL").unwrap();
    let migrator = SqlMigrator::new(
        &options_of(&url),
        MigratorSettings {
            migrations,
            lock_timeout: Duration::from_secs(30),
            table_lock_timeout: Duration::from_secs(5),
            table_lock_tries: 1,
        },
    );
    let request = match std::env::var(REVERTING) {
        Ok(_) => RunRequest::Down(DownRequest {
            target: Target::All,
            use_stored_sql: false,
            agreed: None,
        }),
        Err(_) => RunRequest::Up(UpRequest {
            target: Target::All,
            allow_destructive: true,
        }),
    };
    let killer = Killer {
        at,
        seen: AtomicUsize::new(0),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match runtime.block_on(migrator.run(&request, &killer)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
