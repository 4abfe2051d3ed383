//! Drill: sixteen start on an empty database, and the one that migrates is killed, or frozen first, while it holds the lock. The
//! others wait, know who it is, and each migration is applied once. All sixteen unharmed: `ops_migrate`.

use std::time::Instant;

use rustix::process::Signal;

use crate::harness::{
    ALL, Database, Empty, Engine, OnEngine, Running,
    drill::{Figures, drill},
    on_both_engines,
};

/// Beside the one that does not survive.
const OTHERS: usize = 15;

fn applied(said: &str) -> usize {
    said.matches("applied m2").count()
}

fn serve(database: &Database) -> Running {
    database
        .dlc()
        // As long as somebody is frozen, and on a busy machine.
        .env("DLC_MIGRATE__LOCK_TIMEOUT", "50s")
        .start(&["serve", "--port", "0"])
}

async fn lose_the_holder(engine: Engine, is_frozen: bool) -> Figures {
    let database = Empty::on(engine).await.0;
    if engine == Engine::Sqlite {
        std::fs::File::create(database.file()).unwrap();
    }
    database.execute("CREATE TABLE gate (id integer)").await;
    let slow = database.dlc().with_migrations("slow from the first");
    let holder = slow.start(&["serve", "--port", "0"]);
    holder.until_said("running for").await;
    let others: Vec<Running> = (0..OTHERS).map(|_| serve(&database)).collect();
    for other in &others {
        other.until_said("held by dlc serve 0.1.0 ").await;
    }
    if is_frozen {
        holder.signal(Signal::STOP);
        for other in &others {
            other.until_said("no sign of life for ").await;
        }
    }
    let lost = Instant::now();
    holder.signal(Signal::KILL);
    let holder = holder.finished().await;
    assert_eq!((holder.code, applied(&holder.stderr)), (-1, 0), "{holder:?}");
    for other in &others {
        other.until_said("ready in ").await;
    }
    let ready = lost.elapsed();
    let mut count = 0;
    for other in others {
        other.signal(Signal::TERM);
        let other = other.finished().await;
        assert_eq!(other.code, 0, "{other:?}");
        count += applied(&other.stderr);
    }
    assert_eq!(count, ALL, "each migration exactly once");
    let history = "SELECT count(*) FROM seaql_migrations";
    assert_eq!(database.number(history).await, ALL as i64);
    database.execute("DROP TABLE gate").await;
    let verify = database.dlc().run(&["migrate", "verify"]).await;
    assert_eq!(verify.code, 0, "{verify:?}");
    database.remove().await;
    Figures::default()
        .count("processes", OTHERS + 1)
        .count("migrations applied", count)
        .count("holders killed", 1)
        .longest("the others ready after it within", ready)
}

on_both_engines! {
    async fn fifteen_others_become_ready_when_the_holder_is_killed(engine: Engine) {
        drill(format!("killed holder ({engine:?})"), async |_| lose_the_holder(engine, false).await).await;
    }

    async fn fifteen_others_name_a_frozen_holder_and_become_ready_when_it_is_gone(engine: Engine) {
        drill(format!("frozen holder ({engine:?})"), async |_| lose_the_holder(engine, true).await).await;
    }
}
