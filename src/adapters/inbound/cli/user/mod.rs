//! `dlc user …`: accounts, for whoever may run commands on the database's behalf.
//!
//! One file per kind of command. An account that is deleted so that it can be restored is called disabled here: that is what its
//! owner notices.

mod changes;
mod create;
mod list;
mod purge;
mod show;

use chrono::{DateTime, Utc};
use dlc_application::{
    ports::tokens::Mint,
    users::{UserError, UserService},
};
use dlc_domain::users::{ProfileText, User, Username};
use serde_json::{Value, json};

use super::{
    args::UserCommand,
    exit::{Exit, Failure},
    once::refuse_silence,
    printer::{Printer, time},
};
pub use create::Prepared;

/// What the commands stand on.
#[derive(Clone, Copy)]
pub struct Registry<'a> {
    /// Accounts.
    pub users: &'a UserService,
    /// Makes passwords.
    pub mint: &'a dyn Mint,
    /// The present time.
    pub now: DateTime<Utc>,
}

/// What can be said of a command before anything is opened for it.
///
/// # Errors
/// When it cannot be done, whatever the database holds.
pub fn prepare(command: &UserCommand, now: DateTime<Utc>, printer: Printer) -> Result<Prepared, Failure> {
    match command {
        UserCommand::Create(args) => return create::prepare(args, printer),
        UserCommand::AllowReset(_) => refuse_silence("the code", printer)?,
        UserCommand::Purge(args) => purge::check(args, now)?,
        UserCommand::List(_) | UserCommand::Show(_) | UserCommand::Disable(_) | UserCommand::Restore(_) => {}
    }
    Ok(Prepared::default())
}

/// Does what a command says.
///
/// # Errors
/// When it is refused, or the database fails.
pub async fn run(
    registry: Registry<'_>,
    command: UserCommand,
    prepared: Prepared,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        UserCommand::Create(args) => create::create(registry, args, prepared, printer).await,
        UserCommand::List(args) => list::list(registry.users, &args, printer).await,
        UserCommand::Show(args) => show::show(registry.users, &args, printer).await,
        UserCommand::Disable(args) => changes::disable(registry.users, &args, printer).await,
        UserCommand::Restore(args) => changes::restore(registry.users, &args, printer).await,
        UserCommand::AllowReset(args) => changes::allow_reset(registry.users, &args, printer).await,
        UserCommand::Purge(args) => purge::purge(registry, &args, printer).await,
    }
}

async fn find(users: &UserService, name: &Username) -> Result<User, Failure> {
    users.find_by_name(name).await.map_err(about(name))
}

/// A failure that says whose account it is about.
fn about(name: &Username) -> impl Fn(UserError) -> Failure {
    move |error| {
        let failure = Failure::from(error);
        Failure {
            message: format!("{name}: {}", failure.message),
            ..failure
        }
    }
}

/// The report of a command for programs.
fn report(command: &str, body: Value, printer: Printer) {
    printer.report(command, Exit::Done, body);
}

/// What is told of an account; never a hash.
fn view(user: &User) -> Value {
    json!({
        "id": user.id.0,
        "username": user.username.as_str(),
        "is_admin": user.is_admin,
        "description": user.description.as_ref().map(ProfileText::as_str),
        "current_goal": user.current_goal.as_ref().map(ProfileText::as_str),
        "allow_password_reset": user.allow_password_reset,
        "created_at": time(user.created_at),
        "updated_at": time(user.updated_at),
        "deleted_at": user.deleted_at.map(time),
        "last_login": user.last_login.map(time),
    })
}
