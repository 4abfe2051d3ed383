//! Drill: `kill -9` before and after every statement of every migration, up and down. What is left is the schema before or after it,
//! and the next start heals it by itself. Only a migration that is no transaction can be half done, and then the way out is said.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::task::JoinSet;

use crate::harness::{
    Database, Dlc, Engine, Server,
    drill::{Figures, drill_at_most, in_all_sizes},
    on_both_engines,
    program::{CONCURRENT, KILLED_AT, REVERTING, events},
};

/// How many statements, migrations and ends of either there can be to be killed at; far more than there are.
const MANY: usize = 200;

on_both_engines! {
    async fn at_any_statement_of_a_migration_the_next_start_heals(engine: Engine) {
        drill_at_most(1, format!("killed at each statement ({engine:?})"), async |_| {
            let (kills, figures) = kill_at_each(engine, false).await;
            assert_eq!(kills, events("concurrent", engine).div_ceil(stride()));
            figures
        })
        .await;
    }

    async fn at_any_statement_of_a_revert_the_next_start_heals(engine: Engine) {
        drill_at_most(1, format!("killed at each statement of a revert ({engine:?})"), async |_| {
            let (kills, figures) = kill_at_each(engine, true).await;
            assert!(kills > 20 / stride(), "{kills}");
            figures
        })
        .await;
    }
}

/// In the small size a run is killed at every eleventh of them alone: a prime, so that beginnings and ends of either are among them.
fn stride() -> usize {
    if in_all_sizes() { 1 } else { 11 }
}

/// What is found after a kill.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The run had come to its end before.
    RanThrough,
    Whole,
    HalfDone,
}

/// Kills a run at each of its events, some at a time: each has a database of its own. Returns how many there are.
async fn kill_at_each(engine: Engine, is_reverting: bool) -> (usize, Figures) {
    let half_done = Arc::new(AtomicUsize::new(0));
    let mut lanes = JoinSet::new();
    // Each finds for itself that there are no more.
    let at_a_time = if in_all_sizes() { 8 } else { 3 };
    for lane in 0..at_a_time {
        let half_done = Arc::clone(&half_done);
        lanes.spawn(async move {
            for number in (lane..MANY).step_by(at_a_time) {
                match killed_at(engine, number * stride(), is_reverting).await {
                    Left::RanThrough => return number,
                    Left::Whole => {}
                    Left::HalfDone => drop(half_done.fetch_add(1, Ordering::Relaxed)),
                }
            }
            MANY
        });
    }
    let kills = lanes.join_all().await.into_iter().min().unwrap();
    let half_done = half_done.load(Ordering::Relaxed);
    let figures = Figures::default()
        .count("kills", kills)
        .count("left half done, and said so", half_done);
    (kills, figures)
}

/// Kills a run at one of its events and looks at what is left, and at what the next start makes of it.
async fn killed_at(engine: Engine, at: usize, is_reverting: bool) -> Left {
    let database = Database::empty(engine).await;
    let dlc = || database.dlc().with_migrations("concurrent");
    let mut run = dlc().env(KILLED_AT, &at.to_string());
    if is_reverting {
        assert_eq!(dlc().run(&["migrate", "up"]).await.code, 0);
        run = run.env(REVERTING, "1");
    }
    let run = run.run(&[]).await;
    let was_killed = run.code == -1;
    assert!(was_killed || run.code == 0, "{at}: {run:?}");
    let status = dlc().run(&["migrate", "status", "--check", "--format", "json"]).await;
    let report = status.json();
    let is_half_done = report["error"]["code"] == "migration_unfinished";
    if is_half_done {
        // Only the migration that is no transaction can be half done, and the way out is said.
        assert_eq!((status.code, engine), (4, Engine::Postgres), "{at}: {status:?}");
        let (message, hint) = (&report["error"]["message"], &report["error"]["hint"]);
        assert!(message.as_str().unwrap().contains(CONCURRENT), "{at}: {status:?}");
        assert!(hint.as_str().unwrap().contains("dlc migrate up"), "{at}: {status:?}");
    } else {
        assert!([0, 2].contains(&status.code), "{at}: {status:?}");
        let verify = dlc().run(&["migrate", "verify"]).await;
        assert_eq!(verify.code, 0, "{at}: {verify:?}");
    }
    // The next start is a service's as often as it is a command's.
    if (at / stride()).is_multiple_of(2) {
        let served = Database::at(engine, &database.url);
        let stopped = Server::start_as(served, dlc(), &[]).await.stop().await;
        assert_eq!(stopped.code, 0, "{at}: {stopped:?}");
    } else {
        let up = dlc().run(&["migrate", "up"]).await;
        assert_eq!(up.code, 0, "{at}: {up:?}");
    }
    assert_is_whole(at, dlc).await;
    database.remove().await;
    match (was_killed, is_half_done) {
        (false, _) => Left::RanThrough,
        (true, false) => Left::Whole,
        (true, true) => Left::HalfDone,
    }
}

async fn assert_is_whole(at: usize, dlc: impl Fn() -> Dlc) {
    for arguments in [&["migrate", "verify"][..], &["migrate", "status", "--check"]] {
        let finished = dlc().run(arguments).await;
        assert_eq!(finished.code, 0, "{at}: {finished:?}");
    }
}
