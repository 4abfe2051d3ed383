//! Parsing what callers sent into the domain's types, with every refused field named.

use dlc_domain::TextError;

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
