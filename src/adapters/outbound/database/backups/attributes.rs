//! What a database has beside what is in it, and no backup holds: owner, grants, settings, limit of connections, comment. Whoever takes
//! its place gets the same. Not here: its tablespace and its collation, which it is made with (`scratch`).

use dlc_application::ports::{backups::BackupError, connection::ConnectFailure};

use super::server::{Server, quoted};
use crate::{error, session::Session};

impl Server<'_> {
    /// Statements that give `new` what this database has, in order; each is one that a transaction can take back.
    pub(super) async fn attributes(&self, session: &mut Session, new: &str) -> Result<Vec<String>, BackupError> {
        let new = quoted(new);
        // Settings that are lists are kept as they are written; a literal would be one word of the list. So the value is set
        // here, and taken from here.
        let sql = format!(
            "WITH d AS (SELECT * FROM pg_database WHERE datname = current_database()), \
                  acl AS (SELECT e.* FROM d, aclexplode(d.datacl) e), \
                  setting AS (SELECT s.setrole, split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value, place \
                     FROM d JOIN pg_db_role_setting s ON s.setdatabase = d.oid CROSS JOIN unnest(s.setconfig) WITH ORDINALITY c (c, place)), \
                  whose AS (SELECT *, CASE setrole WHEN 0 THEN format('ALTER DATABASE %I', '{new}') \
                     ELSE format('ALTER ROLE %I IN DATABASE %I', pg_get_userbyid(setrole), '{new}') END AS head FROM setting) \
             SELECT statement FROM ( \
                 SELECT 1 AS n, 0 AS place, format('ALTER DATABASE %I OWNER TO %I', '{new}', pg_get_userbyid(datdba)) AS statement FROM d \
                     WHERE pg_get_userbyid(datdba) <> current_user \
                 UNION ALL SELECT 2, 0, format('ALTER DATABASE %I CONNECTION LIMIT %s', '{new}', datconnlimit) FROM d WHERE datconnlimit <> -1 \
                 UNION ALL SELECT 3, 0, format('COMMENT ON DATABASE %I IS %L', '{new}', shobj_description(oid, 'pg_database')) FROM d \
                     WHERE shobj_description(oid, 'pg_database') IS NOT NULL \
                 UNION ALL SELECT 4, place, CASE WHEN name IN ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') \
                     THEN format('SELECT set_config(%L, %L, true); %s SET %I FROM CURRENT', name, value, head, name) \
                     ELSE format('%s SET %I TO %L', head, name, value) END FROM whose \
                 UNION ALL SELECT 5, 0, format('REVOKE ALL ON DATABASE %I FROM PUBLIC, %I', '{new}', pg_get_userbyid(datdba)) FROM d \
                     WHERE datacl IS NOT NULL \
                 UNION ALL SELECT 6, 0, format('GRANT %s ON DATABASE %I TO %s%s', privilege_type, '{new}', \
                     CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, \
                     CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM acl) s ORDER BY n, place, statement"
        );
        let rows = session.rows(&sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(rows.into_iter().flatten().flatten().collect())
    }

    /// Whether this role may run them, which is better known before than after a restore. Nothing of them stays.
    pub(super) async fn rehearse_attributes(
        &self,
        session: &mut Session,
        statements: &[String],
    ) -> Result<(), BackupError> {
        self.execute(session, "BEGIN").await?;
        for statement in statements {
            if let Err(e) = session.execute(statement).await {
                drop(session.execute("ROLLBACK").await);
                return Err(if error::connect_failure(&e) == ConnectFailure::Privilege {
                    BackupError::Privilege {
                        what: format!("this role may not give the new database what the old one has ({statement})"),
                        cause: error::words(&e),
                        grant: "restore as a role that may, or as a superuser: DLC_DATABASE__MIGRATION_URL".to_owned(),
                    }
                } else {
                    self.failed(&e)
                });
            }
        }
        self.execute(session, "ROLLBACK").await
    }
}
