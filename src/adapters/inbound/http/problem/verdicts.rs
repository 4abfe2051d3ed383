//! What the use cases refuse, as problems: the table of every status and code that is theirs (§4.2).

use chrono::{DateTime, Utc};
use dlc_application::{
    auth::{ChangePasswordError, RefreshError, RegisterError, ResetPasswordError, SignInError},
    coupons::{ClaimError, CreateCouponError, FindCouponError},
    greetings::{FindGreetingError, RecordGreetingError},
    ports::{StorageError, StorageErrorKind, idempotency::KeyRefused, passwords::HashError, tokens::SigningError},
    users::UserError,
};
use dlc_domain::coupons::ClaimRefused;
use poem::http::StatusCode;

use super::{Problem, whole_seconds};
use crate::adapters::inbound::http::admission::overloaded;

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        let problem = match error.kind() {
            StorageErrorKind::Unavailable => Self::lost_database(),
            StorageErrorKind::Timeout => Self::unavailable(
                "database_timeout",
                "the database did not answer in time; ask again in a moment",
            ),
            StorageErrorKind::Overloaded => overloaded(),
            StorageErrorKind::Conflict => {
                Self::unavailable("database_conflict", "another request was first; ask again")
            }
            StorageErrorKind::Other => Self::internal(),
        };
        Self {
            source: Some(error.into()),
            ..problem
        }
    }
}

impl From<KeyRefused> for Problem {
    fn from(error: KeyRefused) -> Self {
        match error {
            KeyRefused::Differs => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                error.to_string(),
            ),
            KeyRefused::Running => Self::new(StatusCode::CONFLICT, "idempotency_key_in_use", error.to_string()),
        }
    }
}

impl From<CreateCouponError> for Problem {
    fn from(error: CreateCouponError) -> Self {
        match error {
            CreateCouponError::NameTaken => Self::new(StatusCode::CONFLICT, "coupon_exists", error.to_string()),
            CreateCouponError::Key(error) => error.into(),
            CreateCouponError::Storage(error) => error.into(),
        }
    }
}

impl From<FindCouponError> for Problem {
    fn from(error: FindCouponError) -> Self {
        match error {
            FindCouponError::UnknownCoupon => Self::new(StatusCode::NOT_FOUND, "coupon_not_found", error.to_string()),
            FindCouponError::Storage(error) => error.into(),
        }
    }
}

impl From<ClaimError> for Problem {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::UnknownCoupon => Self::new(StatusCode::NOT_FOUND, "coupon_not_found", error.to_string()),
            ClaimError::Refused(ClaimRefused::AlreadyClaimed) => {
                Self::new(StatusCode::CONFLICT, "already_claimed", error.to_string())
            }
            ClaimError::Refused(ClaimRefused::OutOfStock) => {
                Self::new(StatusCode::CONFLICT, "out_of_stock", error.to_string())
            }
            ClaimError::Key(error) => error.into(),
            ClaimError::Storage(error) => error.into(),
        }
    }
}

impl From<FindGreetingError> for Problem {
    fn from(error: FindGreetingError) -> Self {
        match error {
            FindGreetingError::Unknown => Self::new(StatusCode::NOT_FOUND, "greeting_not_found", error.to_string()),
            FindGreetingError::Storage(error) => error.into(),
        }
    }
}

impl From<RecordGreetingError> for Problem {
    fn from(error: RecordGreetingError) -> Self {
        match error {
            RecordGreetingError::Key(error) => error.into(),
            RecordGreetingError::Storage(error) => error.into(),
        }
    }
}

impl From<HashError> for Problem {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => overloaded(),
            HashError::Failed(_) => Self {
                source: Some(error.into()),
                ..Self::internal()
            },
        }
    }
}

impl From<SigningError> for Problem {
    fn from(error: SigningError) -> Self {
        Self {
            source: Some(error.into()),
            ..Self::internal()
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Closed => Self::new(StatusCode::FORBIDDEN, "registration_closed", error.to_string()),
            RegisterError::NameTaken => Self::new(StatusCode::CONFLICT, "username_taken", error.to_string()),
            RegisterError::Password(error) => Self::invalid_field("password", error.to_string()),
            RegisterError::Hash(error) => error.into(),
            RegisterError::Storage(error) => error.into(),
        }
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Refused => Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", error.to_string()),
            SignInError::Locked { until, now } => too_many_failures(error.to_string(), until, now),
            SignInError::Hash(error) => error.into(),
            SignInError::Signing(error) => error.into(),
            SignInError::Storage(error) => error.into(),
        }
    }
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Refused => Self::new(StatusCode::UNAUTHORIZED, "invalid_refresh_token", error.to_string()),
            RefreshError::Signing(error) => error.into(),
            RefreshError::Storage(error) => error.into(),
        }
    }
}

impl From<ChangePasswordError> for Problem {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::Wrong => Self::new(StatusCode::FORBIDDEN, "wrong_password", error.to_string()),
            ChangePasswordError::Locked { until, now } => too_many_failures(error.to_string(), until, now),
            ChangePasswordError::Password(error) => Self::invalid_field("new_password", error.to_string()),
            ChangePasswordError::Hash(error) => error.into(),
            ChangePasswordError::Storage(error) => error.into(),
        }
    }
}

impl From<ResetPasswordError> for Problem {
    fn from(error: ResetPasswordError) -> Self {
        match error {
            ResetPasswordError::Refused => Self::new(StatusCode::BAD_REQUEST, "reset_refused", error.to_string()),
            ResetPasswordError::Password(error) => Self::invalid_field("new_password", error.to_string()),
            ResetPasswordError::Hash(error) => error.into(),
            ResetPasswordError::Storage(error) => error.into(),
        }
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Unknown => Self::new(StatusCode::NOT_FOUND, "user_not_found", error.to_string()),
            UserError::Stale => Self::stale(),
            UserError::LastAdministrator => Self::new(StatusCode::CONFLICT, "last_administrator", error.to_string()),
            UserError::Storage(error) => error.into(),
        }
    }
}

fn too_many_failures(detail: String, until: DateTime<Utc>, now: DateTime<Utc>) -> Problem {
    Problem {
        retry_after: Some(whole_seconds((until - now).to_std().unwrap_or_default())),
        ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use dlc_domain::passwords::PasswordError;
    use poem::error::{MethodNotAllowedError, NotFoundError};

    use super::*;

    #[test]
    fn every_refusal_has_its_status_and_code() {
        let storage = |kind| StorageError::new(kind, "driver's words");
        let now = DateTime::UNIX_EPOCH;
        let until = now + TimeDelta::milliseconds(1_001);
        let problems: Vec<Problem> = vec![
            CreateCouponError::NameTaken.into(),
            FindCouponError::UnknownCoupon.into(),
            ClaimError::UnknownCoupon.into(),
            ClaimError::Refused(ClaimRefused::AlreadyClaimed).into(),
            ClaimError::Refused(ClaimRefused::OutOfStock).into(),
            KeyRefused::Differs.into(),
            KeyRefused::Running.into(),
            FindGreetingError::Unknown.into(),
            RegisterError::Closed.into(),
            RegisterError::NameTaken.into(),
            RegisterError::Password(PasswordError::TooShort { floor: 12 }).into(),
            SignInError::Refused.into(),
            SignInError::Locked { until, now }.into(),
            RefreshError::Refused.into(),
            ChangePasswordError::Wrong.into(),
            ChangePasswordError::Locked { until, now }.into(),
            ResetPasswordError::Refused.into(),
            ResetPasswordError::Password(PasswordError::Common).into(),
            UserError::Unknown.into(),
            UserError::Stale.into(),
            UserError::LastAdministrator.into(),
            HashError::Busy.into(),
            HashError::Failed("driver's words".into()).into(),
            SigningError("driver's words".into()).into(),
            storage(StorageErrorKind::Unavailable).into(),
            storage(StorageErrorKind::Timeout).into(),
            storage(StorageErrorKind::Conflict).into(),
            storage(StorageErrorKind::Other).into(),
            Problem::from_framework(NotFoundError.into()),
            Problem::from_framework(MethodNotAllowedError.into()),
            Problem::too_large(),
            Problem::sign_in_required(),
            Problem::invalid_token(),
            Problem::not_allowed("why not"),
            Problem::rate_limited(7),
        ];
        let table: Vec<String> = problems
            .iter()
            .map(|problem| {
                let after = problem
                    .retry_after
                    .map(|after| format!(" (after {after} s)"))
                    .unwrap_or_default();
                format!(
                    "{} {}{after}: {}",
                    problem.status.as_u16(),
                    problem.code,
                    problem.detail
                )
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
        assert!(table.iter().all(|line| !line.contains("driver's words")));
    }
}
