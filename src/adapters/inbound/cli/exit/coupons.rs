//! What went wrong with a coupon, as an exit code and a hint. Not here: any other failure.

use dlc_application::{
    coupons::{CreateCouponError, FindCouponError},
    operations::books::AuditError,
};

use super::{Exit, Failure};

impl From<CreateCouponError> for Failure {
    fn from(error: CreateCouponError) -> Self {
        let message = error.to_string();
        match error {
            CreateCouponError::NameTaken => Self::new(Exit::Failed, "coupon_exists", message)
                .hint("dlc coupon show tells of it; dlc coupon list lists them all"),
            // Of requests; no command has a key.
            CreateCouponError::Key(_) => Self::new(Exit::Failed, "key_refused", message),
            CreateCouponError::Storage(error) => error.into(),
        }
    }
}

impl Failure {
    fn unknown_coupon(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "coupon_unknown", message).hint("dlc coupon list lists them all")
    }
}

impl From<FindCouponError> for Failure {
    fn from(error: FindCouponError) -> Self {
        let message = error.to_string();
        match error {
            FindCouponError::UnknownCoupon => Self::unknown_coupon(message),
            // Nothing was to be done that may be done all the same.
            FindCouponError::Storage(error) => Self::from(error).hint(
                "`dlc coupon audit` tells whether it is the coupon's row; `dlc db check` looks at each layer, -v tells more",
            ),
        }
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let message = error.to_string();
        match error {
            AuditError::UnknownCoupon => Self::unknown_coupon(message),
            AuditError::Database(error) => error.into(),
        }
    }
}
