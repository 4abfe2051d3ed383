//! From the command line to the exit code: opens only what the command needs.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use clap::{Parser, error::ErrorKind};
use dlc_application::ports::{clock::Clock, inspection::DatabaseInspector, migrations::SchemaMigrator, tokens::Mint};
use dlc_database::{Database, Migration, SqlCouponBooks, SqlInspector};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    accounts::{fit_database, with_database},
    backups, doctor, moves, serve, services,
};
use crate::{
    adapters::{
        inbound::{
            cli::{
                args::{
                    AuthCommand, BenchCommand, CheckArgs, ClaimsArgs, Cli, Color, Command, ConfigCommand,
                    CouponCommand, DbCommand, DocumentFormat, Format, Global, GreetCommand, MigrateCommand, PlanArgs,
                    ServeArgs, UserCommand,
                },
                auth, bench, check, config as config_command,
                coupon::{self, Errand},
                exit::{Exit, Failure},
                greet, health, manuals, migrate, moving,
                printer::Printer,
                user::{self, Registry},
            },
            http::document,
        },
        outbound::{clock::SystemClock, crypto::passwords::Argon2Hasher},
    },
    config::{self, Config, ConfigError, Flag, Sources, log::LogLevel},
    telemetry,
};

/// Does what the arguments say, to a schema that consists of these migrations, oldest first.
pub fn run(
    arguments: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
    migrations: &'static [Migration],
) -> ExitCode {
    let started = Instant::now();
    // A variable whose name is not UTF-8 cannot be one of ours.
    let environment: BTreeMap<String, OsString> = environment
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .collect();
    let arguments: Vec<OsString> = arguments.collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(usage(&error, &arguments, &environment) as u8),
    };
    let color = |terminal: bool| match cli.global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && wants_color(&environment),
    };
    let color_err = color(io::stderr().is_terminal());
    let printer = Printer::new(cli.global.quiet, color(io::stdout().is_terminal()), color_err);
    let session = Session {
        migrations,
        environment,
        global: cli.global,
        printer,
        color_err,
        started,
    };
    let report = cli.command.report();
    let done = session.command(cli.command);
    // What went wrong is also told to a program that reads the report: its code is in no other place.
    if let (Some((command, Format::Json)), Err(failure)) = (report, &done) {
        printer.failed_json(command, failure);
    }
    // What was done is done, and nobody may take a half of its report for the whole.
    let exit = match (done, printer.finish()) {
        (Ok(Exit::Done), Err(lost)) => Err(lost),
        (done, _) => done,
    };
    let exit = exit.unwrap_or_else(|failure| {
        session.fail(&failure);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

fn wants_color(environment: &BTreeMap<String, OsString>) -> bool {
    let set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && environment.get("TERM").is_none_or(|term| term != "dumb")
}

/// Help goes to stdout with 0; a wrong command line is one line and where to look, with 64.
fn usage(error: &clap::Error, arguments: &[OsString], environment: &BTreeMap<String, OsString>) -> Exit {
    let color = io::stderr().is_terminal() && wants_color(environment);
    let printer = Printer::new(false, false, color);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match printer.help(error) {
            Ok(()) => Exit::Done,
            Err(lost) => {
                printer.error(&lost);
                lost.exit
            }
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Exit::Usage
        }
        _ => {
            let mut text = error.render().to_string();
            // A URL at the wrong place may hold a password; it is not repeated, be it an argument or the value of one.
            for argument in arguments.iter().filter_map(|argument| argument.to_str()) {
                let value = argument.split_once('=').map(|(_, value)| value);
                for told in [Some(argument), value].into_iter().flatten() {
                    if told.contains("://") {
                        text = text.replace(told, "…");
                    }
                }
            }
            let first: Vec<&str> = text
                .lines()
                .take_while(|line| !line.trim().is_empty())
                .map(str::trim)
                .collect();
            let message = first.join(" ");
            let message = message.strip_prefix("error: ").unwrap_or(&message);
            let tip = text
                .lines()
                .find_map(|line| line.trim().strip_prefix("tip: "))
                .map(|tip| format!("{tip}; "));
            let failure = Failure::new(Exit::Usage, "usage", message).hint(format!(
                "{}dlc --help, or --help after the command",
                tip.unwrap_or_default()
            ));
            printer.error(&failure);
            Exit::Usage
        }
    }
}

/// One invocation.
struct Session {
    migrations: &'static [Migration],
    environment: BTreeMap<String, OsString>,
    global: Global,
    printer: Printer,
    color_err: bool,
    started: Instant,
}

impl Session {
    fn command(&self, command: Command) -> Result<Exit, Failure> {
        match command {
            Command::Serve(args) => {
                let config = self.config(serve_flags(args), None)?;
                let served = block_on_all_cores(async {
                    let traces = services::traces(&config);
                    // The log first: whatever is wrong with traces is told there.
                    let taken = traces.as_ref().ok().and_then(Option::as_ref);
                    telemetry::start(self.logging(&config), taken);
                    serve::serve(&config, self.started, self.migrations, traces?).await
                });
                // Said once: to people as an error, to machines as an event of the log that they read anyway.
                match served {
                    // A log that is switched off must not swallow it.
                    Err(failure)
                        if config.log.level != LogLevel::Off
                            && config.log.format.is_json(io::stderr().is_terminal()) =>
                    {
                        let (code, exit_code) = (failure.code, failure.exit as u8);
                        tracing::error!(code, exit_code, hint = failure.hint, "{}", failure.message);
                        Ok(failure.exit)
                    }
                    served => served,
                }
            }
            Command::Migrate(command) => self.migrate(command),
            Command::Db(DbCommand::Check(args)) => self.check(args),
            Command::Db(command) => self.database(command),
            Command::User(command) => self.user(command),
            Command::Coupon(command) => self.coupon(command),
            Command::Greet(GreetCommand::Prune(args)) => {
                let config = self.config(Vec::new(), None)?;
                self.log(&config);
                let prune = async |database: &Database| {
                    let greetings = services::greetings(database);
                    greet::prune(&greetings, SystemClock.now(), &args, self.printer).await
                };
                let name = "greet prune";
                block_on(interruptible(with_database(&config, name, self.migrations, prune)))
            }
            Command::Config(command) => self.config_command(command),
            Command::Auth(AuthCommand::GenSecret(args)) => {
                let secret = services::mint()?.signing_secret();
                auth::gen_secret(&secret, &args, self.printer)
            }
            Command::Bench(BenchCommand::Claims(args)) => self.bench(&args),
            Command::Health(args) => {
                let flags = flag("--port", "server.port", args.port).into_iter().collect();
                // Whatever is wrong, a health check answers 0 or 1.
                let unhealthy = |failure: Failure| Failure {
                    exit: Exit::Failed,
                    ..failure
                };
                let config = self.config(flags, Some("server")).map_err(unhealthy)?;
                let (host, port, is_tls) = (config.server.host, config.server.port, config.tls.files().is_some());
                block_on(health::run(host, port, is_tls, args.timeout, self.printer)).map_err(unhealthy)
            }
            Command::Openapi(args) => {
                self.printer.text(&match args.format {
                    DocumentFormat::Json => document::json(),
                    DocumentFormat::Yaml => document::yaml(),
                });
                Ok(Exit::Done)
            }
            Command::Completions(args) => Ok(manuals::completions(args.shell, self.printer)),
            Command::Man(args) => manuals::man(args.directory.as_deref(), self.printer),
        }
    }

    fn migrate(&self, command: MigrateCommand) -> Result<Exit, Failure> {
        let (name, _) = command.report();
        let lock_timeout = match &command {
            MigrateCommand::Up(args) => args.run.lock_timeout,
            MigrateCommand::Down(args) => args.run.lock_timeout,
            MigrateCommand::Repair(args) => args.run.lock_timeout,
            MigrateCommand::Status(_) | MigrateCommand::Plan(_) | MigrateCommand::Verify(_) => None,
        };
        let flags = flag(
            "--lock-timeout",
            "migrate.lock_timeout",
            lock_timeout.map(humantime::format_duration),
        )
        .into_iter()
        .collect();
        let config = self.config(flags, None)?;
        self.log(&config);
        let selected = services::selected(&config)?;
        let migrator = services::migrator(&config, selected, name, self.migrations);
        let migrator = migrator.as_ref();
        let printer = self.printer;
        block_on(interruptible(async {
            match command {
                MigrateCommand::Up(args) if args.plan => {
                    let args = PlanArgs {
                        target: args.target,
                        rehearse_on: None,
                        format: args.run.format,
                    };
                    migrate::plan_up(migrator, None, args, printer).await
                }
                MigrateCommand::Up(mut args) => {
                    args.allow_destructive |= config.migrate.allow_destructive;
                    migrate::up(migrator, args, printer).await
                }
                MigrateCommand::Down(args) if args.plan => migrate::plan_down(migrator, args, printer).await,
                MigrateCommand::Down(args) => migrate::down(migrator, args, printer).await,
                MigrateCommand::Status(args) => migrate::status(migrator, args, printer).await,
                MigrateCommand::Plan(args) => {
                    let url = args.rehearse_on.as_deref();
                    let clone = url
                        .map(|url| services::migrator_on_clone(&config, selected, url, self.migrations))
                        .transpose()?;
                    let clone = clone.as_deref().map(|clone| clone as &dyn SchemaMigrator);
                    migrate::plan_up(migrator, clone, args, printer).await
                }
                MigrateCommand::Verify(args) => migrate::verify(migrator, args, printer).await,
                MigrateCommand::Repair(args) => migrate::repair(migrator, args, printer).await,
            }
        }))
    }

    fn user(&self, command: UserCommand) -> Result<Exit, Failure> {
        let now = SystemClock.now();
        let prepared = user::prepare(&command, now, self.printer)?;
        let config = self.config(Vec::new(), None)?;
        self.log(&config);
        let mint = services::mint()?;
        let hasher = Arc::new(Argon2Hasher::new(services::HASHING_OF_A_COMMAND));
        let name = command.name();
        let work = async |database: &Database| {
            let users = services::users(&config, database, hasher, mint);
            let registry = Registry {
                users: &users,
                mint: &mint,
                now,
            };
            user::run(registry, command, prepared, self.printer).await
        };
        block_on(interruptible(with_database(&config, name, self.migrations, work)))
    }

    fn coupon(&self, command: CouponCommand) -> Result<Exit, Failure> {
        let config = self.config(Vec::new(), None)?;
        self.log(&config);
        let (name, printer) = (command.name(), self.printer);
        let errand = match command {
            CouponCommand::Create(args) => Errand::Create(args),
            CouponCommand::List(args) => Errand::List(args),
            CouponCommand::Show(args) => Errand::Show(args),
            CouponCommand::Audit(args) => {
                return block_on(interruptible(async {
                    let options = fit_database(&config, name, self.migrations).await?;
                    coupon::audit(&SqlCouponBooks::new(&options), &args, printer).await
                }));
            }
        };
        let work =
            async |database: &Database| coupon::run(&services::coupons(&config, database), errand, printer).await;
        block_on(interruptible(with_database(&config, name, self.migrations, work)))
    }

    /// Needs no configuration, but for an audit: a service that runs somewhere is asked what everybody may ask.
    fn bench(&self, args: &ClaimsArgs) -> Result<Exit, Failure> {
        let run = Uuid::now_v7().to_string();
        let stop = CancellationToken::new();
        // Measured: on all cores a crowd is served a tenth faster than on one.
        block_on_all_cores(async {
            tokio::select! {
                told = self.sale(args, &run, &stop) => told,
                () = interrupted_twice(&stop) => Ok(Exit::Interrupted),
            }
        })
    }

    async fn sale(&self, args: &ClaimsArgs, run: &str, stop: &CancellationToken) -> Result<Exit, Failure> {
        let name = "bench claims";
        // Before the sale: whoever cannot audit it need not begin.
        let books = if args.audit {
            let config = self.config(Vec::new(), None)?;
            self.log(&config);
            Some(SqlCouponBooks::new(
                &fit_database(&config, name, self.migrations).await?,
            ))
        } else {
            None
        };
        let sale = bench::play(args, run, stop, self.printer).await?;
        let audit = match &books {
            Some(books) => bench::audit(&sale, books).await?,
            None => None,
        };
        Ok(bench::tell(&sale, audit.as_ref(), args.format, self.printer))
    }

    fn check(&self, args: CheckArgs) -> Result<Exit, Failure> {
        if args.url.as_deref().is_some_and(|url| url.trim().is_empty()) {
            // A variable that a script has not set, most likely; the configured database is not what it means.
            let message = "--url is empty: it names no database";
            return Err(Failure::new(Exit::Usage, "usage", message).hint("leave --url away for the configured one"));
        }
        let flags = flag("--url", "database.url", args.url.clone()).into_iter().collect();
        let (facts, inspector) = match self.load(flags, None) {
            Ok(config) => {
                self.log(&config);
                let selected = config.selected.as_ref().ok();
                let options = selected.map(|selected| services::database_options(&config, selected, "db check"));
                (
                    doctor::config_facts(&config),
                    options.as_ref().map(|options| {
                        let replica = doctor::replica(&config, options);
                        SqlInspector::new(options, self.migrations).beside(replica)
                    }),
                )
            }
            // A configuration that cannot be read is what the doctor is there to tell of.
            Err(error) => (doctor::broken_config_facts(error), None),
        };
        let inspector = inspector.map(|inspector| inspector as Arc<dyn DatabaseInspector>);
        block_on(interruptible(check::run(inspector, facts, args, self.printer)))
    }

    fn database(&self, command: DbCommand) -> Result<Exit, Failure> {
        let config = || {
            let config = self.config(Vec::new(), None)?;
            self.log(&config);
            Ok::<_, Failure>(config)
        };
        let (environment, migrations, printer) = (&self.environment, self.migrations, self.printer);
        match command {
            // What is wrong with the configuration is among what it tells.
            DbCommand::Check(args) => self.check(args),
            DbCommand::Backup(args) => block_on(backups::backup(&config()?, args, migrations, environment, printer)),
            DbCommand::Verify(args) => block_on(backups::verify(&config()?, args, migrations, environment, printer)),
            DbCommand::Restore(args) => block_on(backups::restore(&config()?, args, migrations, environment, printer)),
            DbCommand::Move(args) => {
                let config = config()?;
                let ends = moves::ends(&config, &args)?;
                let mover = moves::mover(&config, &ends, migrations);
                block_on(interruptible(moving::run(&mover, ends.redacted(), &args, printer)))
            }
        }
    }

    fn config_command(&self, command: ConfigCommand) -> Result<Exit, Failure> {
        match command {
            ConfigCommand::Show(args) => Ok(config_command::show(
                &self.config(Vec::new(), None)?,
                &args,
                self.printer,
            )),
            ConfigCommand::Check(args) => config_command::check(&self.config(Vec::new(), None)?, &args, self.printer),
            ConfigCommand::Template(args) => Ok(config_command::template(
                self.global.profile.unwrap_or_default(),
                &args,
                self.printer,
            )),
            ConfigCommand::GenPassword => config_command::gen_password(&services::mint()?.password(), self.printer),
        }
    }

    fn config(&self, flags: Vec<Flag>, only: Option<&'static str>) -> Result<Config, Failure> {
        Ok(self.load(flags, only)?)
    }

    fn load(&self, flags: Vec<Flag>, only: Option<&'static str>) -> Result<Config, ConfigError> {
        let named = self
            .environment
            .get("DLC_CONFIG")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        config::load(&Sources {
            environment: self.environment.clone(),
            flags,
            file: self.global.config.clone().or(named),
            profile: self.global.profile,
            directory: PathBuf::from("config"),
            only,
        })
    }

    fn log(&self, config: &Config) {
        telemetry::start(self.logging(config), None);
    }

    fn logging(&self, config: &Config) -> telemetry::Logging {
        let level = match (self.global.quiet, self.global.verbose) {
            (true, _) => "off",
            (false, 0) => config.log.level.name(),
            (false, 1) => "debug",
            (false, _) => "trace",
        };
        telemetry::Logging {
            level,
            json: config.log.format.is_json(io::stderr().is_terminal()),
            color: self.color_err,
        }
    }

    fn fail(&self, failure: &Failure) {
        self.printer.error(failure);
    }
}

fn flag(name: &'static str, key: &'static str, value: Option<impl ToString>) -> Option<Flag> {
    value.map(|value| Flag {
        name,
        key,
        value: value.to_string(),
    })
}

fn serve_flags(args: ServeArgs) -> Vec<Flag> {
    [
        flag("--host", "server.host", args.host),
        flag("--port", "server.port", args.port),
        flag("--wait", "database.wait", args.wait.map(humantime::format_duration)),
        flag("--migrate", "migrate.mode", args.migrate),
        flag(
            "--allow-destructive",
            "migrate.allow_destructive",
            args.allow_destructive.then_some(true),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs the service to its end, on all cores.
fn block_on_all_cores<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run_on(&mut tokio::runtime::Builder::new_multi_thread(), future)
}

/// Runs a command to its end. One thread is enough for one thing at a time, and the others need not be started.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run_on(&mut tokio::runtime::Builder::new_current_thread(), future)
}

/// What still runs in the background at the end is dropped: nothing there is worth waiting for.
fn run_on<T>(
    builder: &mut tokio::runtime::Builder,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "runtime_failed", format!("no threads to be had: {error}")))?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    result
}

/// The first Ctrl-C asks a command to come to its end, the second does not wait for it.
async fn interrupted_twice(stop: &CancellationToken) {
    // Where no signal can be heard, none ends anything.
    let heard = async || match tokio::signal::ctrl_c().await {
        Ok(()) => {}
        Err(_) => std::future::pending().await,
    };
    heard().await;
    stop.cancel();
    heard().await;
}

/// Ctrl-C ends a command at once; an open transaction is rolled back by the database.
async fn interruptible(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    // What a command has begun and would leave behind goes with it.
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        result = command => result,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
        _ = terminated => Ok(Exit::Interrupted),
    }
}
