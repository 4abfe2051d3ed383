//! PRV: may this role do what the service and its migrations do?

use super::{Check, Judge, Question, columns::with_needed_columns, text};
use crate::{
    operations::check::{Layer, Purpose, Verdict},
    ports::inspection::Engine,
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "PRV001",
        title: "database and schema",
        cause: "The role may not use the schema, or not create tables in it, which migrations do.",
        fix: "Run the GRANT as the schema's owner, or migrate as another role: DLC_DATABASE__MIGRATION_URL.",
        question: Question::postgres(
            "SELECT quote_ident(current_user), quote_ident(current_schema()), \
                CAST(has_schema_privilege(current_schema(), 'USAGE') AS text), \
                CAST(has_schema_privilege(current_schema(), 'CREATE') AS text)",
        ),
        preflight: true,
        judge: Judge::Case(|case| {
            let (role, schema) = (case.text(0), case.text(1));
            if schema.is_empty() {
                return Verdict::skipped("no schema is selected");
            }
            let missing = |what: &str| {
                let words = format!("{role} may not {what} in the schema {schema}");
                // Whoever looks at somebody else's database has nothing to make there.
                let verdict = if case.options.purpose == Purpose::Looking && case.facts.is_foreign() {
                    Verdict::warn(words)
                } else {
                    Verdict::fail(words)
                };
                verdict.hint(format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};"))
            };
            match (case.text(2), case.text(3)) {
                ("true", "true") => Verdict::ok(format!("{role} may use {schema} and create in it")),
                ("true", _) if case.facts.config.separate_migrations => Verdict::ok(format!(
                    "{role} may use {schema}; migrations have a connection of their own"
                )),
                ("true", _) => missing("create tables"),
                _ => missing("use anything"),
            }
        }),
        ..Check::of(Layer::Privileges)
    },
    Check {
        id: "PRV002",
        title: "tables and sequences",
        cause: "The role may not read or write a table that the service uses, or not draw from its sequence.",
        fix: "Run the GRANTs as the tables' owner. ALTER DEFAULT PRIVILEGES spares doing so after each migration.",
        engine: Some(Engine::Postgres),
        own: true,
        question: Question::postgres(concat!(
            with_needed_columns!(),
            "SELECT format('%s ON %s', string_agg(p.privilege, ', ' ORDER BY p.rank), quote_ident(c.relname)), \
                quote_ident(current_user) \
         FROM pg_class c CROSS JOIN (VALUES ('SELECT', 1), ('INSERT', 2), ('UPDATE', 3), ('DELETE', 4)) p (privilege, rank) \
         WHERE (c.relname, p.privilege) NOT IN (('bootstrap_metadata', 'INSERT'), ('bootstrap_metadata', 'UPDATE'), \
             ('bootstrap_metadata', 'DELETE'), ('coupons', 'DELETE'), ('claims', 'UPDATE'), ('claims', 'DELETE'), \
             ('token_versions', 'DELETE'), ('audit_events', 'SELECT'), ('audit_events', 'UPDATE'), \
             ('audit_events', 'DELETE'), ('backups', 'SELECT'), ('backups', 'INSERT'), ('backups', 'UPDATE'), \
             ('backups', 'DELETE')) \
           AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
           AND c.relname IN (SELECT t FROM need) \
           AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, p.privilege) \
         GROUP BY c.relname \
         UNION ALL \
         SELECT format('USAGE ON SEQUENCE %s', quote_ident(s.relname)), quote_ident(current_user) \
         FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'a' JOIN pg_class c ON c.oid = d.refobjid \
         WHERE s.relkind = 'S' AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
           AND c.relname IN (SELECT t FROM need) AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') ELSE false END \
         ORDER BY 1",
        )),
        judge: Judge::Case(|case| {
            if case.rows.is_empty() {
                return Verdict::ok("all that the service uses");
            }
            let role = case.text(1);
            let missing: Vec<&str> = case.rows.iter().map(|row| text(row, 0)).collect();
            let grants: Vec<String> = missing.iter().map(|what| format!("GRANT {what} TO {role};")).collect();
            Verdict::fail(format!("{role} lacks {}", missing.join("; "))).hint(grants.join(" "))
        }),
        ..Check::of(Layer::Privileges)
    },
    Check {
        id: "PRV003",
        title: "ordinary role",
        cause: "The service runs as a superuser: whoever breaks into it owns the whole server.",
        fix: "Make a role of its own that owns the database: CREATE ROLE … LOGIN; ALTER DATABASE … OWNER TO ….",
        question: Question::postgres(
            "SELECT quote_ident(current_user), CAST(rolsuper AS text) FROM pg_roles WHERE rolname = current_user",
        ),
        judge: Judge::Case(|case| {
            if case.text(1) == "true" {
                Verdict::warn(format!("{} is a superuser", case.text(0)))
                    .hint("run the service as a role of its own; it needs no more than its database")
            } else {
                Verdict::ok(case.text(0))
            }
        }),
        ..Check::of(Layer::Privileges)
    },
];
