//! The features (`features/*.feature`), told in the words of the product, against the real server on both engines.
//!
//! A program of its own, because cucumber silences the panics of the whole process while it runs: other tests would not say why
//! they fail. `cargo test --test features -- goal` runs the scenarios whose name, or whose feature's name, holds the word;
//! `--engine=postgres` or `--engine=sqlite` runs them on that engine alone.

// The harness is shared, and a step says that it fails by panicking.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "../it/harness/mod.rs"]
mod harness;
mod world;

use std::{io, process::ExitCode};

use cucumber::{
    World as _, WriterExt as _, cli,
    gherkin::{Feature, Scenario},
    writer::{self, Coloring, Stats as _},
};
use futures_util::FutureExt as _;
use harness::Engine;
use world::World;

/// How many scenarios run at a time.
const AT_A_TIME: usize = 4;

/// Whether a scenario is one of those that are asked for.
fn is_asked_for(words: &[String], feature: &Feature, scenario: &Scenario) -> bool {
    let holds = |word: &String| scenario.name.contains(word.as_str()) || feature.name.contains(word.as_str());
    words.is_empty() || words.iter().any(holds)
}

/// Runs the scenarios on one engine; tells how many there were, and whether all went well.
async fn run(engine: Engine, words: &[String]) -> (usize, bool) {
    println!("\n== {engine:?}");
    let words = words.to_vec();
    let ran = World::cucumber()
        .max_concurrent_scenarios(AT_A_TIME)
        .with_writer(writer::Basic::new(io::stdout(), Coloring::Auto, 0).summarized())
        .fail_on_skipped()
        .with_cli(cli::Opts::<_, _, _>::default())
        .before(move |_, _, _, world: &mut World| world.open(engine).boxed_local())
        .after(|_, _, _, _, world| {
            async move {
                if let Some(world) = world {
                    world.close().await;
                }
            }
            .boxed_local()
        })
        .filter_run(
            concat!(env!("CARGO_MANIFEST_DIR"), "/features"),
            move |feature, _, scenario| is_asked_for(&words, feature, scenario),
        )
        .await;
    let is_well = !ran.execution_has_failed() && ran.skipped_steps() == 0;
    (ran.passed_steps() + ran.failed_steps(), is_well)
}

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| word.starts_with('-'));
    let engines: &[Engine] = match options.iter().find_map(|option| option.strip_prefix("--engine=")) {
        None => &[Engine::Sqlite, Engine::Postgres],
        Some("sqlite") => &[Engine::Sqlite],
        Some("postgres") => &[Engine::Postgres],
        Some(other) => panic!("there is no engine {other}; sqlite and postgres there are"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut all_well = true;
    for engine in engines {
        let (steps, is_well) = runtime.block_on(run(*engine, &words));
        // No features would be as wrong as a failed one.
        all_well &= is_well && (steps > 0 || !words.is_empty());
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
