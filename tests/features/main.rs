//! The features (`features/*.feature`), told in the words of the product, against the real server on both engines.
//!
//! A program of its own, because cucumber silences the panics of the whole process while it runs: other tests would not say why
//! they fail. `cargo test --test features -- goal` runs the scenarios whose name, or whose feature's name, holds the word;
//! `--engine=postgres` or `--engine=sqlite` runs them on that engine alone; `--report=DIRECTORY` writes what became of them there,
//! `sqlite.xml` and `postgres.xml` (JUnit) for programs and `index.html` for people. Scenarios with the tag `@sqlite` or `@postgres`
//! are about that engine and are not run on the other one.

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
mod report;
mod world;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use cucumber::{
    World as _, WriterExt as _, cli,
    gherkin::{Feature, Scenario},
    writer::{self, Coloring, Stats as _},
};
use futures_util::FutureExt as _;
use harness::Engine;
use report::{Listener, Report};
use world::World;

/// How many scenarios run at a time.
const AT_A_TIME: usize = 4;

/// Whether a scenario is one of those that are asked for.
fn is_asked_for(words: &[String], feature: &Feature, scenario: &Scenario) -> bool {
    let holds = |word: &String| scenario.name.contains(word.as_str()) || feature.name.contains(word.as_str());
    words.is_empty() || words.iter().any(holds)
}

/// The engine's tag, and the name of its file.
fn word(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
    }
}

/// Whether a scenario is about an engine, by its tags and its feature's.
fn is_about(engine: Engine, feature: &Feature, scenario: &Scenario) -> bool {
    let tags: Vec<_> = feature.tags.iter().chain(&scenario.tags).collect();
    let has = |engine| tags.iter().any(|tag| *tag == word(engine));
    has(engine) || ![Engine::Sqlite, Engine::Postgres].into_iter().any(has)
}

/// Where the JUnit report of an engine goes.
fn junit(directory: Option<&Path>, engine: Engine) -> Box<dyn io::Write> {
    match directory {
        Some(directory) => Box::new(File::create(directory.join(format!("{}.xml", word(engine)))).unwrap()),
        None => Box::new(io::sink()),
    }
}

/// Runs the scenarios on one engine; tells whether cucumber thinks that all went well.
async fn run(engine: Engine, words: &[String], directory: Option<&Path>, report: &Report) -> bool {
    println!("\n== {}", report::name(engine));
    let (words, seen) = (words.to_vec(), report.clone());
    let listener = Listener {
        engine,
        report: report.clone(),
    };
    let writer = writer::Basic::raw(io::stdout(), Coloring::Auto, 0)
        .summarized()
        .tee::<World, _>(writer::JUnit::for_tee(junit(directory, engine), 0))
        .tee::<World, _>(listener.discard_stats_writes().discard_arbitrary_writes())
        .normalized();
    let ran = World::cucumber()
        .max_concurrent_scenarios(AT_A_TIME)
        .with_writer(writer)
        .fail_on_skipped()
        .with_cli(cli::Opts::<_, _, _>::default())
        .before(move |_, _, _, world: &mut World| async move { world.open(engine) }.boxed_local())
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
            move |feature, _, scenario| {
                if !is_asked_for(&words, feature, scenario) {
                    return false;
                }
                let is_about = is_about(engine, feature, scenario);
                if is_about {
                    seen.expect(engine, feature, scenario);
                } else {
                    seen.leave_out(engine, feature, scenario);
                }
                is_about
            },
        )
        .await;
    !ran.execution_has_failed() && ran.skipped_steps() == 0
}

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| word.starts_with('-'));
    for name in ["--engine", "--report"] {
        assert!(
            !options.iter().any(|option| option == name),
            "{name}=… needs its value in the same word"
        );
    }
    let option = |name: &str| options.iter().find_map(|option| option.strip_prefix(name));
    let engines: &[Engine] = match option("--engine=") {
        None => &[Engine::Sqlite, Engine::Postgres],
        Some("sqlite") => &[Engine::Sqlite],
        Some("postgres") => &[Engine::Postgres],
        Some(other) => panic!("there is no engine {other}; sqlite and postgres there are"),
    };
    let directory = option("--report=").map(PathBuf::from);
    if let Some(directory) = &directory {
        std::fs::create_dir_all(directory).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = Report::default();
    let mut all_well = true;
    for engine in engines {
        let started = Instant::now();
        let is_well = runtime.block_on(run(*engine, &words, directory.as_deref(), &report));
        report.took(*engine, started.elapsed());
        // No features would be as wrong as a failed one.
        all_well &= is_well && report.is_well(*engine) && (!report.is_empty(*engine) || !words.is_empty());
    }
    println!();
    for engine in engines {
        println!("{}", report.summary(*engine));
    }
    if let Some(directory) = directory {
        let page = directory.join("index.html");
        std::fs::write(&page, report.page(engines)).unwrap();
        println!("the report: {}", page.display());
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
