//! A database that was empty, and is to be so again after a restore that was no good. Not here: what is good.

use super::server::{NO_EXTENSION, OWN_SCHEMAS};

/// Schemas and extensions, as a list of literals.
pub(super) const NAMES_OF_WHAT_STAYS: &str = "SELECT string_agg(quote_literal(kind || name), ', ') FROM (\
     SELECT 'schema ' AS kind, nspname AS name FROM pg_namespace \
     UNION ALL SELECT 'extension ', extname FROM pg_extension \
     UNION ALL SELECT 'type ', CAST(CAST(oid AS regtype) AS text) FROM pg_type \
     UNION ALL SELECT 'routine ', CAST(CAST(oid AS regprocedure) AS text) FROM pg_proc WHERE pronamespace <> 'pg_catalog'::regnamespace) s";

/// Drops whatever is there and was not before, in one statement and so in one transaction. There were no relations and no large objects.
pub(super) fn empty_again(there: &str) -> String {
    format!(
        "DO $dlc$ DECLARE found record; BEGIN \
         PERFORM pg_catalog.lo_unlink(oid) FROM pg_largeobject_metadata; \
         FOR found IN SELECT extname AS name FROM pg_extension WHERE 'extension ' || extname NOT IN ({there}) LOOP \
             EXECUTE format('DROP EXTENSION %I CASCADE', found.name); END LOOP; \
         FOR found IN SELECT nspname AS name FROM pg_namespace n WHERE {OWN_SCHEMAS} AND 'schema ' || nspname NOT IN ({there}) LOOP \
             EXECUTE format('DROP SCHEMA %I CASCADE', found.name); END LOOP; \
         FOR found IN SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {OWN_SCHEMAS} AND {NO_EXTENSION} LOOP \
             IF EXISTS (SELECT 1 FROM pg_class WHERE oid = found.oid) THEN \
             EXECUTE format('DROP %s %s CASCADE', CASE found.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
                 WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, CAST(found.oid AS regclass)); \
             END IF; END LOOP; \
         FOR found IN SELECT CAST(p.oid AS regprocedure) AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
             WHERE {OWN_SCHEMAS} AND 'routine ' || CAST(CAST(p.oid AS regprocedure) AS text) NOT IN ({there}) LOOP \
             EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', found.name); END LOOP; \
         FOR found IN SELECT CAST(t.oid AS regtype) AS name FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
             WHERE {OWN_SCHEMAS} AND t.typtype IN ('e', 'd', 'c', 'r') AND t.typelem = 0 \
               AND 'type ' || CAST(CAST(t.oid AS regtype) AS text) NOT IN ({there}) LOOP \
             EXECUTE format('DROP TYPE IF EXISTS %s CASCADE', found.name); END LOOP; \
         END $dlc$"
    )
}
