//! `dlc user disable`, `restore` and `allow-reset`

use dlc_application::{ports::audit::Caller, users::UserService};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{about, find, report, time, view};
use crate::adapters::inbound::cli::{
    args::{Format, UserArgs},
    exit::{Exit, Failure},
    once::told_once,
    printer::Printer,
};

pub(super) async fn disable(users: &UserService, args: &UserArgs, printer: Printer) -> Result<Exit, Failure> {
    let name = &args.name;
    let found = find(users, name).await?;
    let (user, done) = match found.deleted_at {
        Some(since) => (
            found.clone(),
            format!("{} was disabled already, at {}", found.username, time(since)),
        ),
        None => {
            let user = users
                .delete(found.id, Caller::command_line())
                .await
                .map_err(about(name))?;
            let done = format!(
                "disabled {0} and signed its owner out everywhere; to take it back: dlc user restore {0}",
                user.username
            );
            (user, done)
        }
    };
    match args.format {
        Format::Json => {
            let changed = found.deleted_at.is_none();
            report(
                "user disable",
                json!({"changed": changed, "user": view(&user)}),
                printer,
            );
        }
        Format::Text => printer.line(&done),
    }
    Ok(Exit::Done)
}

pub(super) async fn restore(users: &UserService, args: &UserArgs, printer: Printer) -> Result<Exit, Failure> {
    let name = &args.name;
    let found = find(users, name).await?;
    let changed = found.deleted_at.is_some();
    let user = users
        .restore(found.id, Caller::command_line())
        .await
        .map_err(about(name))?;
    match args.format {
        Format::Json => report(
            "user restore",
            json!({"changed": changed, "user": view(&user)}),
            printer,
        ),
        Format::Text if changed => printer.line(&format!("restored {}", user.username)),
        Format::Text => printer.line(&format!("{} is not disabled; nothing was changed", user.username)),
    }
    Ok(Exit::Done)
}

pub(super) async fn allow_reset(users: &UserService, args: &UserArgs, printer: Printer) -> Result<Exit, Failure> {
    let name = &args.name;
    let user = find(users, name).await?;
    if user.deleted_at.is_some() {
        let message = format!("{name}: the account is disabled");
        return Err(Failure::new(Exit::Failed, "user_disabled", message)
            .hint(format!("restore it first: dlc user restore {name}")));
    }
    let reset = users
        .allow_reset(user.id, Caller::command_line())
        .await
        .map_err(about(name))?;
    let (code, expires_at) = (reset.code.expose_secret(), time(reset.expires_at));
    match args.format {
        Format::Json => report(
            "user allow-reset",
            json!({"username": user.username.as_str(), "code": code, "expires_at": expires_at}),
            printer,
        ),
        Format::Text => {
            printer.line(code);
            printer.line(&format!("good until {expires_at}"));
            printer.note(&format!(
                "for {} alone: whoever has it can set the password (POST /api/v1/auth/password-reset); it is told this once",
                user.username
            ));
        }
    }
    told_once(
        "the code",
        format!("make another one: dlc user allow-reset {name}"),
        printer,
    )?;
    Ok(Exit::Done)
}
