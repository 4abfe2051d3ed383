-- The schema after every migration, for readers. Made from a live database by `just snapshots`; never edited.

CREATE TABLE audit_events (
    id bigint NOT NULL DEFAULT nextval('audit_events_id_seq'::regclass),
    created_at timestamp with time zone NOT NULL,
    actor character varying(64) NOT NULL,
    action character varying(64) NOT NULL,
    subject_id integer,
    address character varying(64),
    request_id character varying(128),
    CONSTRAINT audit_events_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_events_created_at ON audit_events USING btree (created_at);
CREATE INDEX audit_events_subject_id ON audit_events USING btree (subject_id, created_at);

CREATE TABLE backups (
    id character varying(36) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    place text NOT NULL,
    size bigint NOT NULL,
    verified_at timestamp with time zone,
    CONSTRAINT backups_pkey PRIMARY KEY (id)
);
CREATE INDEX backups_created_at ON backups USING btree (created_at);

CREATE TABLE bootstrap_metadata (
    bootstrap_version integer NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT bootstrap_metadata_pkey PRIMARY KEY (bootstrap_version)
);

CREATE TABLE claims (
    id integer NOT NULL DEFAULT nextval('claims_id_seq'::regclass),
    user_id character varying(255) NOT NULL,
    coupon_name character varying(255) NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    CONSTRAINT claims_pkey PRIMARY KEY (id),
    CONSTRAINT claims_user_id_coupon_name_key UNIQUE (user_id, coupon_name),
    CONSTRAINT claims_coupon_name_fkey FOREIGN KEY (coupon_name) REFERENCES coupons(name)
);
CREATE INDEX claims_coupon_name_id ON claims USING btree (coupon_name, id);
CREATE INDEX idx_claims_coupon_name ON claims USING btree (coupon_name);

CREATE TABLE coupons (
    name character varying(255) NOT NULL,
    amount integer NOT NULL,
    remaining_amount integer NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    CONSTRAINT coupons_pkey PRIMARY KEY (name),
    CONSTRAINT coupons_amount_check CHECK ((amount > 0)),
    CONSTRAINT coupons_remaining_amount_check CHECK ((remaining_amount >= 0))
);

CREATE TABLE greet_history (
    id integer NOT NULL DEFAULT nextval('greet_history_id_seq'::regclass),
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    user_id integer,
    message text NOT NULL,
    context jsonb,
    CONSTRAINT greet_history_pkey PRIMARY KEY (id),
    CONSTRAINT greet_history_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id)
);
CREATE INDEX greet_history_created_at ON greet_history USING btree (created_at);
CREATE INDEX greet_history_user_id ON greet_history USING btree (user_id, created_at, id);

CREATE TABLE idempotency_keys (
    principal character varying(255) NOT NULL,
    route character varying(255) NOT NULL,
    key character varying(255) NOT NULL,
    fingerprint bytea NOT NULL,
    answer text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (principal, route, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys USING btree (created_at);

CREATE TABLE password_resets (
    user_id integer NOT NULL,
    code_digest bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT password_resets_pkey PRIMARY KEY (user_id),
    CONSTRAINT password_resets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

CREATE TABLE refresh_tokens (
    digest bytea NOT NULL,
    session_id character varying(64) NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT refresh_tokens_pkey PRIMARY KEY (digest),
    CONSTRAINT refresh_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions(id) ON DELETE CASCADE
);
CREATE INDEX refresh_tokens_session_id ON refresh_tokens USING btree (session_id, expires_at);

CREATE TABLE sessions (
    id character varying(64) NOT NULL,
    user_id integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);
CREATE INDEX sessions_expires_at ON sessions USING btree (expires_at);
CREATE INDEX sessions_user_id ON sessions USING btree (user_id);

CREATE TABLE sign_in_failures (
    name_digest bytea NOT NULL,
    failures integer NOT NULL,
    failed_at timestamp with time zone NOT NULL,
    locked_until timestamp with time zone,
    CONSTRAINT sign_in_failures_pkey PRIMARY KEY (name_digest)
);
CREATE INDEX sign_in_failures_failed_at ON sign_in_failures USING btree (failed_at);

CREATE TABLE token_versions (
    user_id integer NOT NULL,
    version integer NOT NULL,
    CONSTRAINT token_versions_pkey PRIMARY KEY (user_id),
    CONSTRAINT token_versions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

CREATE TABLE users (
    id integer NOT NULL DEFAULT nextval('users_id_seq'::regclass),
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    deleted_at timestamp with time zone,
    username character varying(50) NOT NULL,
    password_hash character varying(255) NOT NULL,
    description text,
    current_goal text,
    is_admin boolean DEFAULT false,
    allow_password_reset boolean DEFAULT false,
    last_login timestamp with time zone,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_username_key UNIQUE (username)
);
CREATE UNIQUE INDEX idx_users_username_lower ON users USING btree (lower((username)::text));
