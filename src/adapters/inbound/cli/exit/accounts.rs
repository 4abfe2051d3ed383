//! What went wrong with an account, as an exit code and a hint. Not here: any other failure.

use dlc_application::{
    ports::passwords::HashError,
    users::{CreateUserError, UserError},
};
use dlc_domain::passwords::PasswordError;

use super::{Exit, Failure};

impl From<HashError> for Failure {
    fn from(error: HashError) -> Self {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        tracing::debug!(source, "{error}");
        Self::new(Exit::Failed, "hashing_failed", error.to_string()).hint("-v with the command tells why")
    }
}

impl From<CreateUserError> for Failure {
    fn from(error: CreateUserError) -> Self {
        let message = error.to_string();
        match error {
            CreateUserError::NameTaken => Self::new(Exit::Failed, "user_exists", message)
                .hint("dlc user show tells of it; dlc user list --all lists them all"),
            CreateUserError::Password(error) => Self::new(Exit::Failed, "password_weak", message).hint(match error {
                PasswordError::TooShort { .. } => "auth.password_min_length says so; --generate makes a longer one",
                _ => "--generate makes a good one",
            }),
            CreateUserError::Hash(error) => error.into(),
            CreateUserError::Storage(error) => error.into(),
        }
    }
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        let message = error.to_string();
        match error {
            UserError::Unknown => {
                Self::new(Exit::Failed, "user_unknown", message).hint("dlc user list --all lists them all")
            }
            UserError::Stale => {
                Self::new(Exit::Failed, "user_changed", message).hint("dlc user show tells how it is now")
            }
            UserError::LastAdministrator => {
                Self::new(Exit::Failed, "last_administrator", message).hint("dlc user create NAME --admin makes one")
            }
            UserError::Storage(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use dlc_application::ports::{StorageError, StorageErrorKind};

    use super::{super::line, *};

    #[test]
    fn every_failure_about_an_account_has_its_exit_code() {
        let storage = |kind| StorageError::new(kind, "words that are not shown");
        let create = [
            CreateUserError::NameTaken,
            CreateUserError::Password(PasswordError::TooShort { floor: 12 }),
            CreateUserError::Password(PasswordError::Common),
            CreateUserError::Hash(HashError::Busy),
            CreateUserError::Hash(HashError::Failed("words that are not shown".into())),
            CreateUserError::Storage(storage(StorageErrorKind::Unavailable)),
        ]
        .map(Failure::from);
        let change = [
            UserError::Unknown,
            UserError::Stale,
            UserError::LastAdministrator,
            UserError::Storage(storage(StorageErrorKind::Timeout)),
            UserError::Storage(storage(StorageErrorKind::Conflict)),
            UserError::Storage(storage(StorageErrorKind::Other)),
        ]
        .map(Failure::from);
        insta::assert_snapshot!(
            create
                .into_iter()
                .chain(change)
                .map(line)
                .collect::<Vec<_>>()
                .join("\n")
        );
    }
}
