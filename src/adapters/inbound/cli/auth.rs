//! `dlc auth …`: opens no database.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{
    args::{Format, GenSecretArgs},
    exit::Exit,
    printer::{Printer, SCHEMA},
};

/// `dlc auth gen-secret`
#[must_use]
pub fn gen_secret(secret: &SecretString, args: &GenSecretArgs, printer: Printer) -> Exit {
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
    Exit::Done
}
