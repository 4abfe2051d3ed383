//! Backups of PostgreSQL: `pg_dump` and the counts look at one exported snapshot. Restored is in one transaction into an empty
//! database, or into a new one beside that takes the name of the old one at the end. Not here: the programs (`programs`).

use std::{ffi::OsString, path::Path, time::Duration};

use chrono::{DateTime, Utc};
use dlc_application::{
    operations::{
        backups::{Contents, Manifest, TableContents},
        books::{self, Books},
    },
    ports::{
        backups::{Acceptable, BackupError, Observer, RestoreRequest, Target},
        connection::ConnectFailure,
        inspection::Engine,
    },
};
use sha2::{Digest, Sha256};

use super::{
    files,
    programs::{self, Program, ProgramPlaces, Run},
};
use crate::{
    error,
    options::{DatabaseOptions, Pooler},
    schema::history::OWN_TABLES,
    session::Session,
};

/// What a session writes a value as must not depend on whose session it is.
const SAME_FOR_ALL: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; \
     SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL row_security = off; SET LOCAL DateStyle = 'ISO, YMD'; \
     SET LOCAL IntervalStyle = 'postgres'; SET LOCAL TimeZone = 'UTC'; SET LOCAL extra_float_digits = 3; \
     SET LOCAL bytea_output = 'hex'; SET LOCAL lc_monetary = 'C'; \
     SELECT set_config('transaction_timeout', '0', true) WHERE current_setting('transaction_timeout', true) IS NOT NULL";

/// Schemas that are somebody's own.
const OWN_SCHEMAS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Not a part of an extension, which brings its own.
const NO_EXTENSION: &str = "NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')";

/// A scratch database that somebody was killed over is removed by whoever comes by after this long.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// What a dump tells.
#[derive(Debug)]
pub(super) struct Dumped {
    pub(super) server_version: String,
    pub(super) program: String,
    pub(super) snapshot_at: DateTime<Utc>,
    pub(super) contents: Contents,
}

/// What is needed to talk to a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server<'a> {
    pub(super) options: &'a DatabaseOptions,
    pub(super) places: &'a ProgramPlaces,
}

impl Server<'_> {
    fn failed(&self, error: &sqlx::Error) -> BackupError {
        let failure = error::connect_failure(error);
        match failure {
            ConnectFailure::Other => BackupError::Database {
                target: self.options.url.redacted().to_owned(),
                cause: error::words(error),
                failure,
            },
            ConnectFailure::Privilege => BackupError::Privilege {
                what: "this role may not read everything".to_owned(),
                cause: error::words(error),
                grant: "GRANT pg_read_all_data TO … (and BYPASSRLS, where rows are hidden), or back up as the owner: \
                        DLC_DATABASE__MIGRATION_URL"
                    .to_owned(),
            },
            _ => error::failed(failure, error::words(error), &self.options.url).into(),
        }
    }

    async fn session(&self) -> Result<Session, BackupError> {
        Ok(Session::Postgres(self.options.postgres_session().await?))
    }

    async fn text(&self, session: &mut Session, sql: &str) -> Result<String, BackupError> {
        let text = session.text(sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(text.unwrap_or_default())
    }

    async fn execute(&self, session: &mut Session, sql: &str) -> Result<(), BackupError> {
        session.execute(sql).await.map_err(|e| self.failed(&e))
    }

    async fn major(&self, session: &mut Session) -> Result<u32, BackupError> {
        let number = self
            .text(session, "SELECT current_setting('server_version_num')")
            .await?;
        Ok(number.parse::<u32>().unwrap_or_default() / 10_000)
    }

    /// Dumps into a file that is there and empty, and tells what is in the database, of the same moment.
    pub(super) async fn dump(&self, id: &str, part: &Path, observer: &Observer) -> Result<Dumped, BackupError> {
        let mut session = self.session().await?;
        let major = self.major(&mut session).await?;
        // Before the snapshot, which keeps the server from cleaning up.
        let program = programs::find(self.places, "pg_dump", major).await?;
        self.execute(
            &mut session,
            &format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SAME_FOR_ALL}"),
        )
        .await?;
        let sql = "SELECT pg_export_snapshot(), current_setting('server_version'), \
                   to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let row = session.rows(sql, &[]).await.map_err(|e| self.failed(&e))?;
        let [snapshot, server_version, at] = row
            .into_iter()
            .next()
            .and_then(|row| <[_; 3]>::try_from(row).ok())
            .unwrap_or_default()
            .map(Option::unwrap_or_default);
        let mut into_file = OsString::from("--file=");
        into_file.push(part);
        let run = Run {
            program: &program,
            places: self.places,
            url: &self.options.url,
            id,
            arguments: vec![
                "--format=custom".into(),
                format!("--snapshot={snapshot}").into(),
                "--lock-wait-timeout=30s".into(),
                into_file,
            ],
            file: Some(part),
        };
        let told = || {
            let size = std::fs::metadata(part).map_or(0, |found| found.len());
            observer.observe("bytes dumped", size, None);
        };
        // Side by side: the snapshot is held for as long as the slower one takes, not for both.
        let (contents, ()) = tokio::try_join!(self.contents(&mut session, observer), run.finish(observer, told))?;
        self.execute(&mut session, "ROLLBACK").await?;
        session.close().await;
        Ok(Dumped {
            server_version,
            program: program.shown(),
            snapshot_at: at.parse().unwrap_or_else(|_| Utc::now()),
            contents,
        })
    }

    /// What is in the database, within a transaction that has begun.
    async fn contents(&self, session: &mut Session, observer: &Observer) -> Result<Contents, BackupError> {
        let mut found = Contents::default();
        // dlc's own tables are where its history is, whatever search path a database has been given.
        let schema = format!(
            "SELECT CAST(n.nspname AS text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname = '{}' AND c.relkind = 'r' AND {OWN_SCHEMAS} ORDER BY pg_table_is_visible(c.oid) DESC, 1 LIMIT 1",
            OWN_TABLES[0]
        );
        let schema = self.text(session, &schema).await?;
        if !schema.is_empty() {
            let path = format!(
                "SELECT set_config('search_path', quote_ident('{}'), true)",
                quoted(&schema)
            );
            self.text(session, &path).await?;
            let sql = format!(
                "SELECT CAST(version AS text) FROM {} ORDER BY version COLLATE \"C\"",
                OWN_TABLES[0]
            );
            let rows = session.rows(&sql, &[]).await.map_err(|e| self.failed(&e))?;
            found.migrations = rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
            let both = "SELECT CAST(count(to_regclass(t)) AS text) FROM unnest(ARRAY['coupons', 'claims']) t";
            if self.text(session, both).await? == "2" {
                let rows = session.rows(books::question(Engine::Postgres, false), &[]).await;
                found.books = Books::read(&rows.map_err(|e| self.failed(&e))?);
            }
        }
        self.execute(session, "SET LOCAL search_path = pg_catalog").await?;
        let tables = format!(
            "SELECT format('%s.%s', n.nspname, c.relname), format('%I.%I', n.nspname, c.relname) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND {OWN_SCHEMAS} AND {NO_EXTENSION} ORDER BY 1"
        );
        let tables = session.rows(&tables, &[]).await.map_err(|e| self.failed(&e))?;
        let of = tables.len() as u64;
        for (done, row) in tables.into_iter().enumerate() {
            if observer.is_stopped() {
                return Err(BackupError::Stopped);
            }
            observer.observe("tables counted", done as u64, Some(of));
            let [Some(name), Some(table)] = <[_; 2]>::try_from(row).unwrap_or_default() else {
                continue;
            };
            let rows = session.rows(&sum_of(&table), &[]).await.map_err(|e| self.failed(&e))?;
            let [rows, high, low] = rows
                .into_iter()
                .next()
                .and_then(|row| <[_; 3]>::try_from(row).ok())
                .unwrap_or_default()
                .map(Option::unwrap_or_default);
            let hash = files::hex(&Sha256::digest(format!("{high} {low}"))[..16]);
            let rows = rows.parse().unwrap_or_default();
            found.tables.insert(name, TableContents { rows, hash });
        }
        Ok(found)
    }

    /// The same in a transaction of its own.
    async fn look(&self, observer: &Observer) -> Result<Contents, BackupError> {
        let mut session = self.session().await?;
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SAME_FOR_ALL}");
        self.execute(&mut session, &begin).await?;
        let contents = tokio::select! {
            contents = self.contents(&mut session, observer) => contents?,
            () = programs::stopped(observer) => return Err(BackupError::Stopped),
        };
        session.close().await;
        Ok(contents)
    }

    /// Restores into a scratch database, tells what is in it, and removes it.
    pub(super) async fn rehearse(
        &self,
        file: &Path,
        manifest: &Manifest,
        id: &str,
        observer: &Observer,
    ) -> Result<Contents, BackupError> {
        let mut session = self.session().await?;
        let program = self.reader(&mut session, manifest).await?;
        self.remove_abandoned(&mut session).await?;
        let scratch = Scratch::make(*self, &mut session, "verify", id).await?;
        let found = async {
            let server = scratch.server(self.places);
            server
                .fill(
                    &program,
                    file,
                    id,
                    &["--no-publications", "--no-subscriptions"],
                    observer,
                )
                .await?;
            server.look(observer).await
        }
        .await;
        // Whatever came of it, and whoever wanted it to end.
        let removed = scratch.remove(&mut session).await;
        session.close().await;
        let found = found?;
        removed?;
        Ok(found)
    }

    /// The program that can read this backup, and write to this server.
    async fn reader(&self, session: &mut Session, manifest: &Manifest) -> Result<Program, BackupError> {
        let server = self.major(session).await?;
        let leading = |text: &str| -> u32 {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or_default()
        };
        let backup = leading(&manifest.server_version);
        if backup > server {
            return Err(BackupError::OlderServer {
                backup,
                server,
                target: self.options.url.redacted().to_owned(),
            });
        }
        let writer = manifest.program.strip_prefix("pg_dump ").map_or(0, leading);
        programs::find(self.places, "pg_restore", server.max(writer)).await
    }

    async fn fill(
        &self,
        program: &Program,
        file: &Path,
        id: &str,
        more: &[&str],
        observer: &Observer,
    ) -> Result<(), BackupError> {
        debug_assert!(program.major() > 0);
        let name = self.database_name();
        let options = [
            "--exit-on-error",
            "--single-transaction",
            "--no-owner",
            "--no-privileges",
        ];
        let mut arguments: Vec<OsString> = options.iter().chain(more).map(OsString::from).collect();
        let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
        arguments.push(format!("--dbname=dbname='{escaped}'").into());
        arguments.push(file.into());
        let run = Run {
            program,
            places: self.places,
            url: &self.options.url,
            id,
            arguments,
            file: None,
        };
        run.finish(observer, || observer.observe("restoring", 0, None)).await
    }

    fn database_name(&self) -> String {
        let options = self.options.url.postgres_options();
        options
            .and_then(|options| options.get_database().map(str::to_owned))
            .unwrap_or_default()
    }

    /// What there is in a target.
    pub(super) async fn target(&self, manifest: &Manifest, request: &RestoreRequest) -> Result<Target, BackupError> {
        let mut session = self.session().await?;
        self.reader(&mut session, manifest).await?;
        let occupied = self.occupied(&mut session).await?;
        if request.replace && occupied.is_some() {
            self.assert_unused(&mut session).await?;
        }
        session.close().await;
        Ok(Target {
            shown: self.options.url.redacted().to_owned(),
            name: self.database_name(),
            occupied,
        })
    }

    async fn occupied(&self, session: &mut Session) -> Result<Option<String>, BackupError> {
        let sql = format!(
            "SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {OWN_SCHEMAS} AND {NO_EXTENSION} \
             ORDER BY c.relkind = 'S', 1"
        );
        let rows = session.rows(&sql, &[]).await.map_err(|e| self.failed(&e))?;
        let names: Vec<String> = rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
        Ok(super::in_words(&names))
    }

    async fn assert_unused(&self, session: &mut Session) -> Result<(), BackupError> {
        let sql = "SELECT CAST(count(*) AS text), string_agg(DISTINCT coalesce(nullif(application_name, ''), 'somebody'), ', ') \
                   FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                   AND backend_type = 'client backend'";
        let rows = session.rows(sql, &[]).await.map_err(|e| self.failed(&e))?;
        match rows.into_iter().next().and_then(|row| <[_; 2]>::try_from(row).ok()) {
            Some([Some(number), Some(who)]) if number != "0" => Err(self.in_use(format!("{number} sessions: {who}"))),
            _ => Ok(()),
        }
    }

    fn in_use(&self, by: String) -> BackupError {
        BackupError::InUse {
            target: self.options.url.redacted().to_owned(),
            by,
        }
    }

    /// Restores into a target, which is what it was until the last moment.
    pub(super) async fn restore(
        &self,
        request: &RestoreRequest,
        manifest: &Manifest,
        acceptable: Acceptable<'_>,
        observer: &Observer,
    ) -> Result<(), BackupError> {
        let mut session = self.session().await?;
        let program = self.reader(&mut session, manifest).await?;
        match self.occupied(&mut session).await? {
            None => {
                self.restore_into_nothing(session, &program, request, acceptable, observer)
                    .await
            }
            Some(contents) if !request.replace => Err(BackupError::NotEmpty {
                target: self.options.url.redacted().to_owned(),
                contents,
            }),
            Some(_) => self.replace(session, &program, request, acceptable, observer).await,
        }
    }

    async fn restore_into_nothing(
        &self,
        mut session: Session,
        program: &Program,
        request: &RestoreRequest,
        acceptable: Acceptable<'_>,
        observer: &Observer,
    ) -> Result<(), BackupError> {
        // What a service that waits for its tables would write as soon as they are there is nobody's to take back.
        self.assert_unused(&mut session).await?;
        // What is there already stays there, whatever happens.
        let there = self.text(&mut session, NAMES_OF_WHAT_STAYS).await?;
        let verdict = match self.fill(program, &request.file, &request.id, &[], observer).await {
            Ok(()) => self.look(observer).await.and_then(|found| acceptable(&found)),
            Err(e) => Err(e),
        };
        if verdict.is_err() {
            self.execute(&mut session, &empty_again(&there)).await?;
        }
        session.close().await;
        verdict
    }

    /// Into a new database on the same server, which takes the name of the old one in one transaction.
    async fn replace(
        &self,
        mut session: Session,
        program: &Program,
        request: &RestoreRequest,
        acceptable: Acceptable<'_>,
        observer: &Observer,
    ) -> Result<(), BackupError> {
        self.assert_unused(&mut session).await?;
        // Where there is no such way, nothing is begun.
        let mut elsewhere = self.elsewhere().await?;
        let scratch = Scratch::make(*self, &mut session, "restore", &request.id).await?;
        let filled = async {
            let server = scratch.server(self.places);
            server.fill(program, &request.file, &request.id, &[], observer).await?;
            acceptable(&server.look(observer).await?)?;
            if observer.is_stopped() {
                return Err(BackupError::Stopped);
            }
            Ok(())
        }
        .await;
        // Nobody may be connected to a database that gets another name, not even whoever renames it.
        let (name, old) = (self.database_name(), format!("{}_replaced", scratch.name));
        let swapped = match filled {
            Ok(()) => {
                session.close().await;
                self.swap(&mut elsewhere, &name, &old, &scratch.name).await
            }
            Err(e) => {
                session.close().await;
                Err(e)
            }
        };
        let left = if swapped.is_ok() { &old } else { &scratch.name };
        let removed = self.drop_database(&mut elsewhere, left).await;
        elsewhere.close().await;
        swapped?;
        if let Err(e) = removed {
            tracing::warn!("the database that was replaced is still there, as {old}: {e}");
        }
        Ok(())
    }

    async fn swap(&self, session: &mut Session, name: &str, old: &str, new: &str) -> Result<(), BackupError> {
        let owner = format!(
            "SELECT format('ALTER DATABASE %I OWNER TO %I', '{}', r.rolname) FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba \
             WHERE d.datname = '{}' AND r.rolname <> current_user",
            quoted(new),
            quoted(name)
        );
        let owner = self.text(session, &owner).await?;
        if !owner.is_empty() {
            self.execute(session, &owner).await?;
        }
        let [name, old, new] = [name, old, new].map(identifier);
        let swap =
            format!("BEGIN; ALTER DATABASE {name} RENAME TO {old}; ALTER DATABASE {new} RENAME TO {name}; COMMIT");
        if let Err(e) = session.execute(&swap).await {
            session.execute("ROLLBACK").await.map_err(|e| self.failed(&e))?;
            // object_in_use
            if error::words(&e).contains("is being accessed by other users") {
                return Err(self.in_use("somebody has connected meanwhile".to_owned()));
            }
            return Err(self.failed(&e));
        }
        Ok(())
    }

    /// A session in another database of the same server.
    async fn elsewhere(&self) -> Result<Session, BackupError> {
        let mut last = None;
        for name in ["postgres", "template1"] {
            let options = self.options_of(name);
            match options.postgres_session().await {
                Ok(session) => return Ok(Session::Postgres(session)),
                Err(e) => last = Some(e),
            }
        }
        Err(last.map_or(BackupError::Stopped, BackupError::Connect))
    }

    fn options_of(&self, database: &str) -> DatabaseOptions {
        DatabaseOptions {
            url: self.options.url.with_database(database),
            pooler: Pooler::None,
            ..self.options.clone()
        }
    }

    async fn drop_database(&self, session: &mut Session, name: &str) -> Result<(), BackupError> {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name));
        self.execute(session, &sql).await
    }

    /// Removes scratch databases of runs that were killed: their names tell how old they are.
    async fn remove_abandoned(&self, session: &mut Session) -> Result<(), BackupError> {
        let sql = "SELECT CAST(datname AS text) FROM pg_database \
                   WHERE datname ~ '^dlc_(verify|restore)_[0-9a-f]{12}_[0-9a-f]{8}$' AND pg_has_role(datdba, 'USAGE')";
        let names = session.rows(sql, &[]).await.map_err(|e| self.failed(&e))?;
        let now = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
        for name in names.into_iter().filter_map(|mut row| row.pop().flatten()) {
            let made = name.split('_').nth(2).and_then(|hex| u64::from_str_radix(hex, 16).ok());
            let age = Duration::from_millis(now.saturating_sub(made.unwrap_or(now)));
            if age > ABANDONED {
                self.drop_database(session, &name).await?;
            }
        }
        Ok(())
    }
}

/// A database for a short time.
#[derive(Debug)]
struct Scratch<'a> {
    server: Server<'a>,
    name: String,
    options: DatabaseOptions,
}

impl<'a> Scratch<'a> {
    /// Makes one that is like the database of the session, and empty. The beginning of a UUID of version 7 is the time.
    async fn make(server: Server<'a>, session: &mut Session, what: &str, id: &str) -> Result<Self, BackupError> {
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or("0").to_owned();
        let name = format!("dlc_{what}_{}_{}", part(0, 12), part(24, 32));
        let like = "SELECT concat_ws(' ', 'ENCODING', quote_literal(pg_encoding_to_char(d.encoding)), \
                        'LC_COLLATE', quote_literal(d.datcollate), 'LC_CTYPE', quote_literal(d.datctype), \
                        CASE to_jsonb(d) ->> 'datlocprovider' \
                            WHEN 'c' THEN 'LOCALE_PROVIDER libc' \
                            WHEN 'i' THEN 'LOCALE_PROVIDER icu ICU_LOCALE ' || quote_literal(coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')) \
                            WHEN 'b' THEN 'LOCALE_PROVIDER builtin BUILTIN_LOCALE ' || quote_literal(to_jsonb(d) ->> 'datlocale') \
                        END) FROM pg_database d WHERE d.datname = current_database()";
        let like = server.text(session, like).await?;
        let sql = format!("CREATE DATABASE {} TEMPLATE template0 {like}", identifier(&name));
        if let Err(e) = session.execute(&sql).await {
            if error::connect_failure(&e) == ConnectFailure::Privilege {
                return Err(BackupError::Privilege {
                    what: "a scratch database is needed on the server".to_owned(),
                    cause: error::words(&e),
                    grant: "ALTER ROLE … CREATEDB, or name a role that may: DLC_DATABASE__MIGRATION_URL".to_owned(),
                });
            }
            return Err(server.failed(&e));
        }
        Ok(Self {
            options: server.options_of(&name),
            server,
            name,
        })
    }

    fn server<'b>(&'b self, places: &'b ProgramPlaces) -> Server<'b> {
        Server {
            options: &self.options,
            places,
        }
    }

    async fn remove(&self, session: &mut Session) -> Result<(), BackupError> {
        self.server.drop_database(session, &self.name).await
    }
}

/// Count and sums of one table: each row's SHA-256 is two numbers, and the rows' numbers are added.
fn sum_of(table: &str) -> String {
    let number = |from: u8| format!("coalesce(sum(CAST(CAST('x' || substr(h, {from}, 16) AS bit(64)) AS bigint)), 0)");
    format!(
        "SELECT CAST(count(*) AS text), CAST({} AS text), CAST({} AS text) \
         FROM (SELECT encode(sha256(convert_to(CAST((of_dlc.*) AS text), 'UTF8')), 'hex') AS h FROM ONLY {table} of_dlc) s",
        number(1),
        number(17)
    )
}

/// Schemas and extensions, as a list of literals.
const NAMES_OF_WHAT_STAYS: &str = "SELECT string_agg(quote_literal(kind || name), ', ') FROM (\
     SELECT 'schema ' AS kind, nspname AS name FROM pg_namespace \
     UNION ALL SELECT 'extension ', extname FROM pg_extension \
     UNION ALL SELECT 'type ', CAST(CAST(oid AS regtype) AS text) FROM pg_type \
     UNION ALL SELECT 'routine ', CAST(CAST(oid AS regprocedure) AS text) FROM pg_proc WHERE pronamespace <> 'pg_catalog'::regnamespace) s";

/// Drops whatever is there and was not before, in one statement and so in one transaction. There were no relations.
fn empty_again(there: &str) -> String {
    format!(
        "DO $dlc$ DECLARE found record; BEGIN \
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

fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
