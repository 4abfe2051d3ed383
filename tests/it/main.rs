//! Everything that is tested from the outside: the real binary, the real server, real databases. One binary, so that it
//! links once and shares one PostgreSQL. `harness` makes a test that needs a running server with a database three lines.

// Everything here is used by this binary alone, and a test says that it fails by panicking.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

mod cli_auth;
mod cli_bench;
mod cli_config;
mod cli_coupon;
mod cli_coupon_audit;
mod cli_db_backup;
mod cli_db_check;
mod cli_db_check_certificates;
mod cli_db_check_forms;
mod cli_db_check_health;
mod cli_db_check_waiting;
mod cli_db_restore;
mod cli_failures;
mod cli_help;
mod cli_migrate;
mod cli_migrate_history;
mod cli_migrate_plan;
mod cli_migrate_verify;
mod cli_user;
mod cli_user_terminal;
mod contract_coupon_lists;
mod contract_coupons;
mod contract_greetings;
mod contract_sessions;
mod contract_users;
mod docs;
mod docs_auth;
mod docs_data;
mod docs_data_backups;
mod docs_migrations;
mod docs_observability;
mod drill_backups;
mod drill_claims_crowds;
mod drill_claims_hangups;
mod drill_claims_instances;
mod drill_claims_locks;
mod drill_claims_losses;
mod drill_claims_mixed;
mod drill_claims_refusals;
mod http_admin;
mod http_auth;
mod http_auth_attacks;
mod http_compression;
mod http_cors;
mod http_coupon_lists;
mod http_coupons;
mod http_coupons_signed_in;
mod http_document;
mod http_errors;
mod http_explorer;
mod http_greetings;
mod http_health;
mod http_idempotency;
mod http_rates;
mod http_users;
mod ops_migrate;
mod ops_pooler;
mod ops_postgres_tls;
mod ops_serve;
mod ops_serve_cancelled;
mod ops_serve_connections;
mod ops_serve_hangup;
mod ops_serve_logs;
mod ops_serve_pool;
mod ops_serve_stop;
mod ops_serve_tls;
mod ops_serve_traces;
mod schema;
