//! The tables and columns that the service's statements name, once for all checks that ask about them. A test holds the list
//! against the schema.

/// They are the rows of `need (t, c)`, for a question that begins with this.
macro_rules! with_needed_columns {
    () => {
        "WITH need (t, c) AS (VALUES ('bootstrap_metadata', 'bootstrap_version'), ('bootstrap_metadata', 'created_at'), \
         ('users', 'id'), ('users', 'created_at'), ('users', 'updated_at'), ('users', 'deleted_at'), \
         ('users', 'username'), ('users', 'password_hash'), ('users', 'description'), ('users', 'current_goal'), \
         ('users', 'is_admin'), ('users', 'allow_password_reset'), ('users', 'last_login'), \
         ('greet_history', 'id'), ('greet_history', 'created_at'), ('greet_history', 'user_id'), \
         ('greet_history', 'message'), ('greet_history', 'context'), \
         ('coupons', 'name'), ('coupons', 'amount'), ('coupons', 'remaining_amount'), ('coupons', 'created_at'), \
         ('claims', 'id'), ('claims', 'user_id'), ('claims', 'coupon_name'), ('claims', 'created_at'), \
         ('idempotency_keys', 'principal'), ('idempotency_keys', 'route'), ('idempotency_keys', 'key'), \
         ('idempotency_keys', 'fingerprint'), ('idempotency_keys', 'answer'), ('idempotency_keys', 'created_at'), \
         ('token_versions', 'user_id'), ('token_versions', 'version'), \
         ('sessions', 'id'), ('sessions', 'user_id'), ('sessions', 'created_at'), ('sessions', 'expires_at'), \
         ('sessions', 'ended_at'), \
         ('refresh_tokens', 'digest'), ('refresh_tokens', 'session_id'), ('refresh_tokens', 'expires_at'), \
         ('refresh_tokens', 'used_at'), \
         ('sign_in_failures', 'name_digest'), ('sign_in_failures', 'failures'), ('sign_in_failures', 'failed_at'), \
         ('sign_in_failures', 'locked_until'), \
         ('password_resets', 'user_id'), ('password_resets', 'code_digest'), ('password_resets', 'created_at'), \
         ('password_resets', 'expires_at'), \
         ('audit_events', 'id'), ('audit_events', 'created_at'), ('audit_events', 'actor'), \
         ('audit_events', 'action'), ('audit_events', 'subject_id'), ('audit_events', 'address'), \
         ('audit_events', 'request_id'), \
         ('backups', 'id'), ('backups', 'created_at'), ('backups', 'place'), ('backups', 'size'), \
         ('backups', 'verified_at')) "
    };
}

pub(super) use with_needed_columns;
