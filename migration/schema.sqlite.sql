-- The schema after every migration, for readers. Made from a live database by `just snapshots`; never edited.

CREATE TABLE audit_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at TEXT NOT NULL,
    actor TEXT NOT NULL CHECK (length(actor) <= 64),
    action TEXT NOT NULL CHECK (length(action) <= 64),
    subject_id INTEGER,
    address TEXT CHECK (length(address) <= 64),
    request_id TEXT CHECK (length(request_id) <= 128)
) STRICT;

CREATE INDEX audit_events_created_at ON audit_events (created_at);

CREATE INDEX audit_events_subject_id ON audit_events (subject_id, created_at);

CREATE TABLE backups (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) <= 36),
    created_at TEXT NOT NULL,
    place TEXT NOT NULL,
    size INTEGER NOT NULL,
    verified_at TEXT
) STRICT;

CREATE INDEX backups_created_at ON backups (created_at);

CREATE TABLE bootstrap_metadata (
    bootstrap_version INTEGER PRIMARY KEY,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
) STRICT;

CREATE TABLE claims (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL CHECK (length(user_id) <= 255),
    coupon_name TEXT NOT NULL CHECK (length(coupon_name) <= 255) REFERENCES coupons(name),
    created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    UNIQUE(user_id, coupon_name)
) STRICT;

CREATE INDEX claims_coupon_name_id ON claims (coupon_name, id);

CREATE INDEX idx_claims_coupon_name ON claims(coupon_name);

CREATE TABLE coupons (
    name TEXT NOT NULL PRIMARY KEY CHECK (length(name) <= 255),
    amount INTEGER NOT NULL CHECK (amount > 0),
    remaining_amount INTEGER NOT NULL CHECK (remaining_amount >= 0),
    created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
) STRICT;

CREATE TABLE greet_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    user_id INTEGER REFERENCES users(id),
    message TEXT NOT NULL,
    context TEXT CHECK (json_valid(context))
) STRICT;

CREATE INDEX greet_history_created_at ON greet_history (created_at);

CREATE INDEX greet_history_user_id ON greet_history (user_id, created_at, id);

CREATE TABLE idempotency_keys (
    principal TEXT NOT NULL CHECK (length(principal) <= 255),
    route TEXT NOT NULL CHECK (length(route) <= 255),
    key TEXT NOT NULL CHECK (length(key) <= 255),
    fingerprint BLOB NOT NULL,
    answer TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (principal, route, key)
) STRICT;

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE TABLE password_resets (
    user_id INTEGER PRIMARY KEY NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    code_digest BLOB NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;

CREATE TABLE refresh_tokens (
    digest BLOB PRIMARY KEY NOT NULL,
    session_id TEXT NOT NULL CHECK (length(session_id) <= 64) REFERENCES sessions(id) ON DELETE CASCADE,
    expires_at TEXT NOT NULL,
    used_at TEXT
) STRICT;

CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id, expires_at);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) <= 64),
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    ended_at TEXT
) STRICT;

CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE INDEX sessions_user_id ON sessions (user_id);

CREATE TABLE sign_in_failures (
    name_digest BLOB PRIMARY KEY NOT NULL,
    failures INTEGER NOT NULL,
    failed_at TEXT NOT NULL,
    locked_until TEXT
) STRICT;

CREATE INDEX sign_in_failures_failed_at ON sign_in_failures (failed_at);

CREATE TABLE token_versions (
    user_id INTEGER PRIMARY KEY NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')),
    deleted_at TEXT,
    username TEXT UNIQUE NOT NULL CHECK (length(username) <= 50),
    password_hash TEXT NOT NULL CHECK (length(password_hash) <= 255),
    description TEXT,
    current_goal TEXT,
    is_admin INTEGER DEFAULT FALSE CHECK (is_admin IN (FALSE, TRUE)),
    allow_password_reset INTEGER DEFAULT FALSE CHECK (allow_password_reset IN (FALSE, TRUE)),
    last_login TEXT
) STRICT;

CREATE UNIQUE INDEX idx_users_username_lower ON users (lower(username));
