//! Parsing what callers sent into the domain's types, with every refused field named.

use dlc_domain::{TextError, passwords::Password};

use super::problem::{FieldError, Problem};

/// Collects what is wrong with a request's fields.
#[derive(Default)]
pub(super) struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    /// Takes a field that was parsed already; a refusal is noted under its name.
    pub(super) fn take<T, E: std::fmt::Display>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push(FieldError {
                    field: field.to_owned(),
                    message: error.to_string(),
                });
                None
            }
        }
    }

    /// Takes a text that may be anything, but has no NUL: no database stores one, and nothing good ever holds one (§5.1).
    pub(super) fn typed(&mut self, field: &str, text: String) -> Option<String> {
        let parsed = if text.contains('\0') {
            Err(TextError::Nul)
        } else {
            Ok(text)
        };
        self.take(field, parsed)
    }

    /// Takes a password of somebody's.
    pub(super) fn password(&mut self, field: &str, text: String) -> Option<Password> {
        let text = self.typed(field, text)?;
        self.take(field, Password::parse(text))
    }

    /// Refuses where a field was refused.
    pub(super) fn passed(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(self.problem())
        }
    }

    /// The problem with all refused fields.
    pub(super) fn problem(self) -> Problem {
        Problem::invalid(self.errors)
    }
}

/// One field alone.
pub(super) fn field<T>(name: &str, parsed: Result<T, TextError>) -> Result<T, Problem> {
    let mut fields = Fields::default();
    fields.take(name, parsed).ok_or_else(|| fields.problem())
}
