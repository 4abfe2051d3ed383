//! Whether a role may do what is asked of it, before anything is begun: each privilege that is missing, and what grants it. Not here:
//! what the server says when one turns out to be missing all the same.

use std::collections::BTreeSet;

use dlc_application::{operations::backups::Manifest, ports::backups::BackupError};

use super::server::{NO_EXTENSION, OWN_SCHEMAS, Server, quoted};
use crate::session::Session;

/// Privileges that are told by name.
const NAMED: usize = 3;

impl Server<'_> {
    /// To read every table.
    pub(super) async fn assert_may_read(&self, session: &mut Session) -> Result<(), BackupError> {
        let missing = format!(
            "SELECT format('SELECT on %I.%I', n.nspname, c.relname), format('GRANT pg_read_all_data TO %I', current_user) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'S') AND {OWN_SCHEMAS} AND {NO_EXTENSION} \
               AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind WHEN 'S' THEN \
                   has_sequence_privilege(c.oid, 'SELECT') ELSE has_any_column_privilege(c.oid, 'SELECT') END) ORDER BY 1"
        );
        self.assert_none_missing(session, "this role may not read everything", &missing)
            .await
    }

    /// To make a database beside this one.
    pub(super) async fn assert_may_make(&self, session: &mut Session) -> Result<(), BackupError> {
        let missing = format!("SELECT * FROM ({CREATEDB}) missing");
        self.assert_none_missing(session, "a scratch database is needed on the server", &missing)
            .await
    }

    /// To put another database in the place of this one, which has the same owner then and lies where it lay.
    pub(super) async fn assert_may_replace(&self, session: &mut Session) -> Result<(), BackupError> {
        // The newer ones tell having a role's privileges and giving things to it apart.
        let (to_give, with) = match self.major(session).await? {
            ..=15 => ("MEMBER", ""),
            _ => ("SET", " WITH INHERIT TRUE, SET TRUE"),
        };
        let missing = format!(
            "{CREATEDB} \
             UNION ALL SELECT format('to be a member of %I, the owner', o.rolname), format('GRANT %I TO %I{with}', o.rolname, current_user) \
             FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba WHERE d.datname = current_database() \
               AND NOT (pg_has_role(o.oid, 'USAGE') AND pg_has_role(o.oid, '{to_give}')) \
             UNION ALL SELECT format('CREATE on the tablespace %I', t.spcname), \
                 format('GRANT CREATE ON TABLESPACE %I TO %I', t.spcname, current_user) \
             FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database() \
               AND t.oid <> (SELECT dattablespace FROM pg_database WHERE datname = 'template0') AND NOT has_tablespace_privilege(t.oid, 'CREATE')"
        );
        let what = format!("this role may not replace {}", self.options.url.redacted());
        self.assert_none_missing(session, &what, &missing).await
    }

    /// To make the tables of a backup in this database.
    pub(super) async fn assert_may_fill(&self, session: &mut Session, manifest: &Manifest) -> Result<(), BackupError> {
        let schemas: BTreeSet<&str> = manifest
            .contents
            .tables
            .keys()
            .filter_map(|table| table.split_once('.').map(|(schema, _)| schema))
            .collect();
        let schemas: Vec<String> = schemas.iter().map(|name| format!("'{}'", quoted(name))).collect();
        let missing = format!(
            "SELECT format('CREATE in the schema %I', n.nspname), format('GRANT CREATE, USAGE ON SCHEMA %I TO %I', n.nspname, current_user) \
             FROM pg_namespace n WHERE n.nspname = ANY (ARRAY[{schemas}]::text[]) \
               AND NOT (has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE')) \
             UNION ALL SELECT format('CREATE in the database, for the schema %I', s), \
                 format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user) \
             FROM unnest(ARRAY[{schemas}]::text[]) s WHERE to_regnamespace(quote_ident(s)) IS NULL \
               AND NOT has_database_privilege(current_database(), 'CREATE')",
            schemas = schemas.join(", ")
        );
        let what = format!("this role may not fill {}", self.options.url.redacted());
        self.assert_none_missing(session, &what, &missing).await
    }

    /// `missing` answers with privileges, and with statements that grant them.
    async fn assert_none_missing(&self, session: &mut Session, what: &str, missing: &str) -> Result<(), BackupError> {
        let rows = session.rows(missing, &[]).await.map_err(|e| self.failed(&e))?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut names = Vec::new();
        let mut grants = BTreeSet::new();
        for [name, grant] in rows.into_iter().filter_map(|row| <[_; 2]>::try_from(row).ok()) {
            names.extend(name);
            grants.extend(grant);
        }
        let more = match names.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        names.truncate(NAMED);
        let grants: Vec<String> = grants.into_iter().collect();
        Err(BackupError::Privilege {
            what: what.to_owned(),
            cause: format!("it lacks {}{more}", names.join(", ")),
            grant: format!(
                "as a superuser: {}; or name a role that may: DLC_DATABASE__MIGRATION_URL",
                grants.join("; ")
            ),
        })
    }
}

const CREATEDB: &str = "SELECT 'CREATEDB', format('ALTER ROLE %I CREATEDB', rolname) FROM pg_roles \
     WHERE rolname = current_user AND NOT rolsuper AND NOT rolcreatedb";
