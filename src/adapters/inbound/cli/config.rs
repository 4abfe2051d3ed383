//! `dlc config …`: opens no database.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    args::{ConfigCheckArgs, Format, ShowArgs, TemplateArgs, TemplateFormat},
    exit::{Exit, Failure},
    once::{refuse_silence, told_once},
    printer::{Printer, SCHEMA, Tone},
};
use crate::config::{Config, Profile, template};

/// `dlc config show`
#[must_use]
pub fn show(config: &Config, args: &ShowArgs, printer: Printer) -> Exit {
    let database = match &config.selected {
        Ok(selected) => (Some(selected.url.redacted().to_owned()), selected.source.clone()),
        Err(why) => (None, why.clone()),
    };
    match args.format {
        Format::Json => {
            let settings: Vec<Value> = config
                .provenance
                .iter()
                .map(|setting| json!({"key": setting.key, "value": setting.value, "source": setting.source}))
                .collect();
            printer.json(&json!({
                "schema": SCHEMA,
                "command": "config show",
                "exit_code": Exit::Done as u8,
                "profile": config.profile.name(),
                "database": {"url": database.0, "source": database.1},
                "settings": settings,
                "warnings": warnings(config),
            }));
        }
        Format::Text => {
            let rows = config.provenance.iter().map(|setting| {
                (
                    setting.key.to_owned(),
                    setting.value.clone().unwrap_or_else(|| "-".to_owned()),
                    setting.source.clone(),
                )
            });
            let first = [
                ("profile".to_owned(), config.profile.name().to_owned(), String::new()),
                (
                    "database".to_owned(),
                    database.0.unwrap_or_else(|| "none".to_owned()),
                    database.1,
                ),
            ];
            let rows: Vec<_> = first.into_iter().chain(rows).collect();
            let width = |of: fn(&(String, String, String)) -> &String| {
                rows.iter()
                    .map(|row| of(row).chars().count())
                    .max()
                    .unwrap_or_default()
                    .min(48)
            };
            let (keys, values) = (width(|row| &row.0), width(|row| &row.1));
            for (key, value, source) in &rows {
                let line = format!("{key:keys$}  {value:values$}  {}", printer.paint(Tone::Faint, source));
                printer.line(line.trim_end());
            }
            for warning in warnings(config) {
                printer.note(&format!("warning: {warning}"));
            }
        }
    }
    Exit::Done
}

fn warnings(config: &Config) -> Vec<String> {
    config
        .warnings
        .unknown
        .iter()
        .chain(&config.warnings.disagreements)
        .cloned()
        .collect()
}

/// `dlc config check`
///
/// # Errors
/// When something would keep the service from starting, or anything is odd and `--strict` was given.
pub fn check(config: &Config, args: &ConfigCheckArgs, printer: Printer) -> Result<Exit, Failure> {
    let mut wrong: Vec<String> = config.contradictions();
    wrong.extend(config.selected.as_ref().err().cloned());
    wrong.extend(config.missing_to_serve());
    let odd = warnings(config);
    if args.strict {
        wrong.extend(odd.iter().cloned());
    }
    for warning in odd.iter().filter(|_| !args.strict) {
        printer.note(&format!("warning: {warning}"));
    }
    if wrong.is_empty() {
        printer.line(&format!("the configuration holds (profile {})", config.profile));
        return Ok(Exit::Done);
    }
    Err(
        Failure::new(Exit::Configuration, "configuration_invalid", wrong.join("; "))
            .hint("`dlc config show` tells where every value came from"),
    )
}

/// `dlc config template`
#[must_use]
pub fn template(profile: Profile, args: &TemplateArgs, printer: Printer) -> Exit {
    printer.text(&match args.format {
        TemplateFormat::Yaml => template::yaml(profile),
        TemplateFormat::Env => template::env(profile),
        TemplateFormat::Markdown => template::markdown(profile),
    });
    Exit::Done
}

/// `dlc config gen-password`
///
/// # Errors
/// When nobody is told it.
pub fn gen_password(password: &SecretString, printer: Printer) -> Result<Exit, Failure> {
    refuse_silence("the password", printer)?;
    printer.line(password.expose_secret());
    told_once("the password", "make another one", printer)?;
    Ok(Exit::Done)
}
