//! PRV: may this role do what the service and its migrations do?

use super::{Answer, Check, FailureClass, Judge, Layer, Question, Verdict, text};
use crate::ports::inspection::Engine;

const fn check(
    id: &'static str,
    title: &'static str,
    [cause, fix]: [&'static str; 2],
    question: &'static str,
    judge: fn(&Answer<'_>) -> Verdict,
) -> Check {
    Check {
        id,
        title,
        layer: Layer::Privileges,
        class: FailureClass::Permission,
        engine: Some(Engine::Postgres),
        deep: false,
        own: false,
        cause,
        fix,
        question: Question::postgres(question),
        judge: Judge::Answer(judge),
    }
}

pub(super) const CHECKS: &[Check] = &[
    check(
        "PRV001",
        "database and schema",
        [
            "The role may not use the schema, or not create tables in it, which migrations do.",
            "Run the GRANT as the schema's owner, or migrate as another role: DLC_DATABASE__MIGRATION_URL.",
        ],
        "SELECT quote_ident(current_user), quote_ident(current_schema()), \
                CAST(has_schema_privilege(current_schema(), 'USAGE') AS text), \
                CAST(has_schema_privilege(current_schema(), 'CREATE') AS text)",
        |answer| {
            let (role, schema) = (answer.text(0), answer.text(1));
            if schema.is_empty() {
                return Verdict::skipped("no schema is selected");
            }
            let missing = |what: &str| {
                Verdict::fail(format!("{role} may not {what} in the schema {schema}"))
                    .hint(format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};"))
            };
            match (answer.text(2), answer.text(3)) {
                ("true", "true") => Verdict::ok(format!("{role} may use {schema} and create in it")),
                ("true", _) if answer.facts.config.separate_migrations => Verdict::ok(format!(
                    "{role} may use {schema}; migrations have a connection of their own"
                )),
                ("true", _) => missing("create tables"),
                _ => missing("use anything"),
            }
        },
    ),
    Check {
        own: true,
        ..check(
            "PRV002",
            "tables and sequences",
            [
                "The role may not read or write a table that the service uses, or not draw from its sequence.",
                "Run the GRANTs as the tables' owner. ALTER DEFAULT PRIVILEGES spares doing so after each migration.",
            ],
            "SELECT format('%s ON %s', string_agg(p.privilege, ', ' ORDER BY p.rank), quote_ident(c.relname)), \
                quote_ident(current_user) \
         FROM pg_class c CROSS JOIN (VALUES ('SELECT', 1), ('INSERT', 2), ('UPDATE', 3), ('DELETE', 4)) p (privilege, rank) \
         WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
           AND c.relname IN ('bootstrap_metadata', 'users', 'greet_history', 'coupons', 'claims') \
           AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, p.privilege) \
         GROUP BY c.relname \
         UNION ALL \
         SELECT format('USAGE ON SEQUENCE %s', quote_ident(s.relname)), quote_ident(current_user) \
         FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'a' JOIN pg_class c ON c.oid = d.refobjid \
         WHERE s.relkind = 'S' AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
           AND c.relname IN ('users', 'greet_history', 'claims') AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') ELSE false END \
         ORDER BY 1",
            |answer| {
                if answer.rows.is_empty() {
                    return Verdict::ok("all that the service uses");
                }
                let role = answer.text(1);
                let missing: Vec<&str> = answer.rows.iter().map(|row| text(row, 0)).collect();
                let grants: Vec<String> = missing.iter().map(|what| format!("GRANT {what} TO {role};")).collect();
                Verdict::fail(format!("{role} lacks {}", missing.join("; "))).hint(grants.join(" "))
            },
        )
    },
    check(
        "PRV003",
        "ordinary role",
        [
            "The service runs as a superuser: whoever breaks into it owns the whole server.",
            "Make a role of its own that owns the database: CREATE ROLE … LOGIN; ALTER DATABASE … OWNER TO ….",
        ],
        "SELECT quote_ident(current_user), CAST(rolsuper AS text) FROM pg_roles WHERE rolname = current_user",
        |answer| {
            if answer.text(1) == "true" {
                Verdict::warn(format!("{} is a superuser", answer.text(0)))
                    .hint("run the service as a role of its own; it needs no more than its database")
            } else {
                Verdict::ok(answer.text(0))
            }
        },
    ),
];
