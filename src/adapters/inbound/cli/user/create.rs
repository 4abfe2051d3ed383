//! `dlc user create`

use dlc_application::ports::audit::Caller;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Registry, report, view};
use crate::adapters::inbound::cli::{
    args::{CreateUserArgs, Format},
    exit::{Exit, Failure},
    once::{refuse_silence, told_once},
    password::{self, PasswordSource},
    printer::Printer,
};

/// What was found out of a command before anything was opened: where it gets the password from, if it needs one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prepared(Option<PasswordSource>);

pub(super) fn prepare(args: &CreateUserArgs, printer: Printer) -> Result<Prepared, Failure> {
    let source = PasswordSource::choose(args.password_stdin, args.generate, printer)?;
    if source == PasswordSource::Generated {
        refuse_silence("the password", printer)?;
    }
    Ok(Prepared(Some(source)))
}

pub(super) async fn create(
    registry: Registry<'_>,
    args: CreateUserArgs,
    Prepared(source): Prepared,
    printer: Printer,
) -> Result<Exit, Failure> {
    let CreateUserArgs {
        name, admin, format, ..
    } = args;
    let mut generated = None;
    let password = match source {
        Some(PasswordSource::Generated) => {
            let password = registry.mint.password().expose_secret().to_owned();
            generated = Some(password.clone());
            password
        }
        Some(PasswordSource::Stdin) => password::read_line().await?,
        Some(PasswordSource::Terminal) | None => password::ask_twice().await?,
    };
    let user = registry
        .users
        .create(name.clone(), password, admin, Caller::command_line())
        .await
        .map_err(|error| {
            let failure = Failure::from(error);
            Failure {
                message: format!("{name}: {}", failure.message),
                ..failure
            }
        })?;
    let done = format!(
        "created {name} (id {}){}",
        user.id,
        if admin { ", an administrator" } else { "" }
    );
    match (format, &generated) {
        (Format::Json, _) => {
            let mut body = json!({"user": view(&user)});
            if let Some(password) = generated.clone() {
                body["password"] = Value::String(password);
            }
            report("user create", body, printer);
        }
        // The password alone is the data, so that a script can take it.
        (Format::Text, Some(password)) => {
            printer.line(password);
            printer.note(&format!("{done}; its password is told this once"));
        }
        (Format::Text, None) => printer.line(&done),
    }
    if generated.is_some() {
        let way_out = format!("{done}; its owner can set a password: dlc user allow-reset {name}");
        told_once("the password", way_out, printer)?;
    }
    Ok(Exit::Done)
}
