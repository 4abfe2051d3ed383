//! What can be typed. The doc comments are the help texts.

mod accounts;
mod backups;
mod bench;
mod coupons;
mod db;
mod moving;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use accounts::{
    CreateUserArgs, GreetCommand, ListUsersArgs, PruneArgs, PurgeUsersArgs, UserArgs, UserCommand, When,
};
pub use backups::{BackupArgs, RestoreArgs, VerifyBackupArgs};
pub use bench::{BenchCommand, ClaimsArgs};
pub use coupons::{AuditCouponsArgs, CouponCommand, CreateCouponArgs, ListCouponsArgs, ShowCouponArgs};
pub use db::{CheckArgs, CheckFormat, DbCommand, FailOn, Threshold};
pub use moving::MoveArgs;

use crate::config::Profile;

/// A database-backed service that comes up with one command, and the operations tool that looks after its database.
#[derive(Debug, Parser)]
#[command(
    name = "dlc",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    // A line each: they stay whole on a narrow terminal.
    after_help = "Exit codes:\n   0  done\n   1  failed\n   2  pending (migrate status --check, --wait)\n   3  lock not obtained\n   \
                  4  history invalid\n  64  usage\n  69  database unreachable\n  77  authentication or privilege\n  \
                  78  configuration\n 130  ended by Ctrl-C"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Read this configuration file instead of those in config/
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Set of defaults: development, test, staging or production
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<Profile>,

    /// Print nothing; the exit code tells
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Log more: -v for debug, -vv for trace
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Migrate the database, then serve the HTTP API and its explorer
    Serve(ServeArgs),
    /// Look after the schema: up, down, status, plan, verify, repair
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Look after the database: check, backup, verify, restore, move
    #[command(subcommand)]
    Db(DbCommand),
    /// Look after accounts: create, list, show, disable, restore, allow-reset, purge
    #[command(subcommand)]
    User(UserCommand),
    /// Look after coupons: create, list, show, audit
    #[command(subcommand)]
    Coupon(CouponCommand),
    /// Look after recorded greetings: prune
    #[command(subcommand)]
    Greet(GreetCommand),
    /// Look at the settings and where they come from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look after the secret that signs access tokens
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Put load on a running service, and check what it answered: claims
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Ask the running service on this machine whether it is ready (exit 0 or 1)
    Health(HealthArgs),
    /// Print the OpenAPI document
    Openapi(OpenapiArgs),
    /// Print what a shell needs to complete dlc's commands and options
    Completions(CompletionsArgs),
    /// Print dlc's manual page, or write those of all commands into a directory
    Man(ManArgs),
}

impl Command {
    /// Its name and how its report is printed, where it makes one. `db check` does, too, and tells of failures in it.
    #[must_use]
    pub fn report(&self) -> Option<(&'static str, Format)> {
        match self {
            Self::Migrate(command) => Some(command.report()),
            Self::Db(command) => command.report(),
            Self::User(command) => Some((command.name(), command.format())),
            Self::Coupon(command) => Some((command.name(), command.format())),
            Self::Greet(GreetCommand::Prune(args)) => Some(("greet prune", args.format)),
            Self::Config(ConfigCommand::Show(args)) => Some(("config show", args.format)),
            Self::Auth(AuthCommand::GenSecret(args)) => Some(("auth gen-secret", args.format)),
            Self::Bench(BenchCommand::Claims(args)) => Some(("bench claims", args.format)),
            _ => None,
        }
    }
}

/// `dlc serve`
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<IpAddr>,

    /// Port to listen on; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// How long to keep trying while the database cannot be reached
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub wait: Option<Duration>,

    /// What to do about pending migrations: auto applies them, check refuses to serve, off serves without them
    #[arg(long, value_name = "MODE", value_parser = ["auto", "check", "off"])]
    pub migrate: Option<String>,

    /// Apply migrations that take something away, too
    #[arg(long)]
    pub allow_destructive: bool,
}

/// `dlc migrate …`
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply pending migrations
    Up(UpArgs),
    /// Revert applied migrations, the newest first; their tables' rows are lost
    Down(DownArgs),
    /// Tell which migrations are applied and which are pending; writes nothing
    Status(StatusArgs),
    /// Show what `migrate up` would do: SQL, locks, rewrites, sizes; touches no live table
    Plan(PlanArgs),
    /// Hold the live schema and the history against this binary, object by object; writes nothing
    Verify(VerifyArgs),
    /// Mend the history where the live schema proves what is right; shows it first, then asks
    Repair(RepairArgs),
}

impl MigrateCommand {
    /// Its name and how its report is printed.
    #[must_use]
    pub fn report(&self) -> (&'static str, Format) {
        match self {
            Self::Up(args) => ("migrate up", args.run.format),
            Self::Down(args) => ("migrate down", args.run.format),
            Self::Status(args) => ("migrate status", args.format),
            Self::Plan(args) => ("migrate plan", args.format),
            Self::Verify(args) => ("migrate verify", args.format),
            Self::Repair(args) => ("migrate repair", args.run.format),
        }
    }
}

/// Options of a run of migrations.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Longest wait for another process that migrates; then exit code 3
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub lock_timeout: Option<Duration>,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// How far `up` goes.
#[derive(Args, Clone, Debug)]
pub struct UpTarget {
    /// Apply up to and including this version
    #[arg(long, value_name = "VERSION", conflicts_with = "steps")]
    pub to: Option<String>,

    /// Apply the next N only
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
}

/// `dlc migrate up`
#[derive(Args, Debug)]
pub struct UpArgs {
    /// How far.
    #[command(flatten)]
    pub target: UpTarget,

    /// Show what would be done, and do nothing
    #[arg(long)]
    pub plan: bool,

    /// Apply migrations that take something away, too
    #[arg(long)]
    pub allow_destructive: bool,

    /// Of every run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `dlc migrate plan`
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// How far.
    #[command(flatten)]
    pub target: UpTarget,

    /// Apply them to this clone of the database, for good, and tell how long each statement takes there; other users of
    /// this machine can see a password that is typed here
    #[arg(long, value_name = "URL")]
    pub rehearse_on: Option<String>,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc migrate down`
#[derive(Args, Debug)]
pub struct DownArgs {
    /// Revert everything newer than this version; 0 reverts all
    #[arg(long, value_name = "VERSION", conflicts_with = "steps")]
    pub to: Option<String>,

    /// Revert the newest N [default: 1]
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,

    /// Show what would be done and lost, and do nothing
    #[arg(long)]
    pub plan: bool,

    /// Do not ask
    #[arg(long)]
    pub yes: bool,

    /// Where this binary does not know a migration, run the SQL that was stored when it was applied
    #[arg(long)]
    pub use_stored_sql: bool,

    /// Of every run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `dlc migrate status`
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Exit with 2 when something is pending, with 4 when the history does not fit this binary
    #[arg(long)]
    pub check: bool,

    /// Wait until nothing is pending, at most this long; then exit code 2
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub wait: Option<Duration>,

    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc migrate verify`
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// How to print the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc migrate repair`
#[derive(Args, Debug)]
pub struct RepairArgs {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,

    /// Of every run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// `dlc config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting with its value and its source; secrets are masked
    Show(ShowArgs),
    /// Check the settings without opening anything
    Check(ConfigCheckArgs),
    /// Print every setting with its documentation and default
    Template(TemplateArgs),
    /// Print a new password that needs no escaping in a URL
    GenPassword,
}

/// `dlc config show`
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc config check`
#[derive(Args, Debug)]
pub struct ConfigCheckArgs {
    /// Fail on unknown keys and variables too
    #[arg(long)]
    pub strict: bool,
}

/// `dlc config template`
#[derive(Args, Debug)]
pub struct TemplateArgs {
    /// As a YAML file or as variables
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    pub format: TemplateFormat,
}

/// The form of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TemplateFormat {
    /// A configuration file
    Yaml,
    /// Variables
    Env,
    /// Variables, as a table for a document
    Markdown,
}

/// `dlc auth …`
#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Print a new secret for DLC_AUTH__SECRET, and keep it nowhere
    GenSecret(GenSecretArgs),
}

/// `dlc auth gen-secret`
#[derive(Args, Debug)]
pub struct GenSecretArgs {
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `dlc health`
#[derive(Args, Debug)]
pub struct HealthArgs {
    /// Port of the service
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Longest wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// `dlc openapi`
#[derive(Args, Debug)]
pub struct OpenapiArgs {
    /// As JSON or YAML
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub format: DocumentFormat,
}

/// `dlc completions`
#[derive(Args, Debug)]
#[command(
    after_help = "bash:  dlc completions bash > ~/.local/share/bash-completion/completions/dlc\n\
                        zsh:   dlc completions zsh > a directory of $fpath/_dlc\n\
                        fish:  dlc completions fish > ~/.config/fish/completions/dlc.fish"
)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `dlc man`
#[derive(Args, Debug)]
#[command(after_help = "To install them: dlc man /usr/local/share/man/man1, then: man dlc-migrate-plan")]
pub struct ManArgs {
    /// Write the pages of all commands here; it is made when it is missing
    #[arg(value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

/// Shells that can be taught. A list of its own, so that no other is offered that nobody has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// The form of the OpenAPI document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// JSON
    Json,
    /// YAML
    Yaml,
}
