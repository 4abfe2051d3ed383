//! `dlc auth …`: opens no database.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{
    args::{Format, GenSecretArgs},
    exit::{Exit, Failure},
    once::{refuse_silence, told_once},
    printer::{Printer, SCHEMA},
};

/// `dlc auth gen-secret`
///
/// # Errors
/// When nobody is told it.
pub fn gen_secret(secret: &SecretString, args: &GenSecretArgs, printer: Printer) -> Result<Exit, Failure> {
    refuse_silence("the secret", printer)?;
    let secret = secret.expose_secret();
    match args.format {
        Format::Text => printer.line(secret),
        Format::Json => printer.json(&json!({
            "schema": SCHEMA,
            "command": "auth gen-secret",
            "exit_code": Exit::Done as u8,
            "secret": secret,
        })),
    }
    told_once("the secret", "make another one", printer)?;
    Ok(Exit::Done)
}
