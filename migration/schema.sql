-- The schema after every migration, for readers. Made from a live database by `just snapshots`; never edited.

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
