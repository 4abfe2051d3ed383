//! A database and binaries that do not fit together: older, newer, edited, incomplete; and what is done about it.

use crate::harness::{
    ALL, Database, Engine, Server, Terminal, on_both_engines,
    program::{CONCURRENT, CONTRACT, EXPAND},
};

const FIRST: &str = "m20261121_000001_create_bootstrap_metadata";
/// One that a later one needs.
const THIRD: &str = "m20261121_000003_create_greet_history";
/// One that no later one needs.
const CLAIMS: &str = "m20261121_000005_create_claims";

on_both_engines! {
    async fn an_edited_migration_is_4_with_both_checksums(database: Database) {
        let edited = || database.dlc().with_migrations("edited");
        let recorded = "SELECT substr(checksum, 1, 12) FROM dlc_migrations ORDER BY version LIMIT 1";
        let recorded = database.rows(recorded).await[0][0].clone();
        let words = format!("edited after being applied: {FIRST} (applied {recorded}, this binary ");
        edited().run(&["migrate", "up"]).await.assert_error(4, &words);
        edited().run(&["serve", "--port", "0"]).await.assert_error(4, &words);
        let status = edited().run(&["migrate", "status", "--check"]).await;
        assert_eq!(status.code, 4, "{status:?}");
        assert!(status.lines()[0].starts_with("edited        20"), "{status:?}");
        assert!(status.stdout.contains("restore the migration's SQL"), "{status:?}");
        let check = edited().run(&["db", "check", "--only", "MIG003"]).await;
        assert!(check.stdout.contains(&words), "{check:?}");
        // Its table is another one, so nothing proves that the edit is harmless.
        let repair = edited().run(&["migrate", "repair", "--yes"]).await;
        assert_eq!(repair.code, 4, "{repair:?}");
        assert!(repair.stdout.starts_with("left    m20261121_000001"), "{repair:?}");
        let told = edited().run(&["migrate", "repair", "--yes", "--format", "json"]).await;
        assert_eq!((told.code, &told.json()["exit_code"], &told.json()["mended"]), (4, &4.into(), &serde_json::json!([])));
        assert!(told.json()["not_mended"][0]["what"].as_str().unwrap().starts_with(FIRST), "{told:?}");
    }

    async fn an_edit_that_makes_the_same_schema_is_mended_after_it_was_shown(database: Database) {
        let reworded = || database.dlc().with_migrations("reworded");
        reworded().run(&["migrate", "up"]).await.assert_error(4, "m20261121_000005_create_claims");
        let asked = reworded().run(&["migrate", "repair"]).await;
        asked.assert_error(64, "confirm with --yes");
        assert!(asked.stderr.starts_with("would mend:\n  m20261121_000005_create_claims has another checksum"), "{asked:?}");
        assert_eq!(reworded().run(&["migrate", "status", "--check"]).await.code, 4, "nothing was mended yet");
        let mended = reworded().run(&["migrate", "repair", "--yes"]).await;
        assert_eq!(mended.code, 0, "{mended:?}");
        assert!(mended.stdout.starts_with("mended  m20261121_000005"), "{mended:?}");
        assert_eq!(reworded().run(&["migrate", "status", "--check"]).await.code, 0);
        let again = reworded().run(&["migrate", "repair"]).await;
        assert_eq!((again.code, again.stdout.as_str()), (0, "nothing to mend\n"));
    }

    async fn a_migration_that_the_binary_should_know_is_missing_not_newer(database: Database) {
        let lacking = || database.dlc().with_migrations("without claims");
        lacking().run(&["migrate", "up"]).await.assert_error(4, &format!("applied, but missing from this binary: {CLAIMS}"));
        let status = lacking().run(&["migrate", "status", "--check", "--format", "json"]).await;
        assert_eq!((status.code, &status.json()["error"]["code"]), (4, &"migrations_missing".into()), "{status:?}");
        let verify = lacking().run(&["migrate", "verify"]).await;
        assert_eq!(verify.code, 4, "{verify:?}");
        assert!(verify.stdout.contains("warn  schema: migrations are applied that this binary does not know"), "{verify:?}");
    }

    async fn a_gap_is_4_and_is_closed_when_the_schema_proves_it(database: Database) {
        for gap in [THIRD, CLAIMS] {
            database.execute(&format!("DELETE FROM seaql_migrations WHERE version = '{gap}'")).await;
            database.dlc().run(&["migrate", "up"]).await.assert_error(4, &format!("out of order, pending although newer ones are applied: {gap}"));
            assert_eq!(database.dlc().run(&["migrate", "status", "--check"]).await.code, 4);
            let mended = database.dlc().run(&["migrate", "repair", "--yes", "--format", "json"]).await;
            assert_eq!((mended.code, &mended.json()["not_mended"]), (0, &serde_json::json!([])), "{mended:?}");
            assert!(mended.json()["mended"][0]["what"].as_str().unwrap().starts_with(gap), "{mended:?}");
            assert_eq!(database.dlc().run(&["migrate", "status", "--check"]).await.code, 0);
        }
    }

    async fn a_gap_whose_table_is_not_there_is_left(database: Database) {
        let lacking = || database.dlc().with_migrations("without claims");
        database.dlc().run(&["migrate", "down", "--to", "0", "--yes"]).await;
        assert_eq!(lacking().run(&["migrate", "up"]).await.code, 0);
        database.dlc().run(&["migrate", "up"]).await.assert_error(4, CLAIMS);
        let repair = database.dlc().run(&["migrate", "repair", "--yes"]).await;
        assert_eq!(repair.code, 4, "{repair:?}");
        assert!(repair.stdout.contains("nothing in the schema proves that it ran; give it a newer number"), "{repair:?}");
    }

    async fn the_newest_row_of_the_history_is_entered_again_when_what_it_makes_is_there(database: Database) {
        for tables in [&["seaql_migrations"][..], &["seaql_migrations", "dlc_migrations"]] {
            for table in tables {
                let newest = format!("DELETE FROM {table} WHERE version = (SELECT max(version) FROM {table})");
                database.execute(&newest).await;
            }
            let refused = database.dlc().run(&["migrate", "up"]).await;
            refused.assert_error(1, "its row was lost: dlc migrate repair");
            let mended = database.dlc().run(&["migrate", "repair", "--yes"]).await;
            assert_eq!(mended.code, 0, "{mended:?}");
            assert!(mended.stdout.contains("although what it makes is there: enter it as applied"), "{mended:?}");
            let verified = database.dlc().run(&["migrate", "verify"]).await;
            assert_eq!(verified.code, 0, "{verified:?}");
            let up = database.dlc().run(&["migrate", "up"]).await;
            assert_eq!((up.code, up.stdout.as_str()), (0, "nothing to do: no migration was applied\n"), "{up:?}");
        }
    }

    async fn what_is_pending_and_not_there_is_nothing_to_mend(database: Database) {
        let down = database.dlc().run(&["migrate", "down", "--yes"]).await;
        assert_eq!(down.code, 0, "{down:?}");
        let repaired = database.dlc().run(&["migrate", "repair", "--yes"]).await;
        assert_eq!((repaired.code, repaired.stdout.as_str()), (0, "nothing to mend\n"), "{repaired:?}");
    }

    async fn what_another_tool_applied_gets_its_checksums_by_repair(database: Database) {
        database.execute("DROP TABLE dlc_migrations").await;
        database.execute("DROP TABLE dlc_schema_snapshot").await;
        let status = database.dlc().run(&["migrate", "status", "--check"]).await;
        assert_eq!(status.code, 0, "{status:?}");
        let verify = database.dlc().run(&["migrate", "verify"]).await;
        assert!(verify.stdout.contains("warn  no checksum is recorded for m2026"), "{verify:?}");
        assert!(verify.stdout.contains("warn  since the last run: no schema was recorded"), "{verify:?}");
        let mended = database.dlc().run(&["migrate", "repair", "--yes"]).await;
        assert_eq!((mended.code, mended.stdout.matches("mended").count()), (0, ALL + 1), "{mended:?}");
        assert_eq!(database.number("SELECT count(*) FROM dlc_migrations").await, ALL as i64);
        let verify = database.dlc().run(&["migrate", "verify"]).await;
        assert_eq!((verify.code, verify.stdout.contains("warn")), (0, false), "{verify:?}");
    }

    async fn binaries_of_three_ages_on_an_expanded_database_all_work(database: Database) {
        assert_eq!(database.dlc().with_migrations("expanded").run(&["migrate", "up"]).await.code, 0);
        let old = database.dlc();
        let up = old.run(&["migrate", "up"]).await;
        assert_eq!((up.code, up.stdout.as_str()), (0, "nothing to do: no migration was applied\n"), "{up:?}");
        let status = old.run(&["migrate", "status", "--check"]).await;
        assert_eq!(status.code, 0, "{status:?}");
        assert!(status.lines().last().unwrap().contains("1 newer than this binary, which goes on working"), "{status:?}");
        let check = old.run(&["db", "check", "--only", "MIG002"]).await;
        assert!(check.stdout.contains("ahead by additions only"), "{check:?}");
        let newest = database.dlc().with_migrations("contracted").run(&["migrate", "status", "--check"]).await;
        assert_eq!(newest.code, 2, "{newest:?}");
        let server = Server::start(database).await;
        assert!(server.log().contains(&format!("WARN the database is ahead of this binary by {EXPAND}")), "{}", server.log());
        server.post("/api/coupons", serde_json::json!({"name": "c", "amount": 1})).await;
        assert_eq!(server.get("/api/v1/coupons/c").await.status, 200);
    }

    async fn a_contraction_wants_a_permission_and_then_stops_older_binaries(database: Database) {
        let newest = || database.dlc().with_migrations("contracted");
        for refused in [newest().run(&["migrate", "up"]).await, newest().run(&["serve", "--port", "0"]).await] {
            refused.assert_error(64, &format!("{CONTRACT} takes something away"));
        }
        assert_eq!(database.number("SELECT count(*) FROM seaql_migrations").await, ALL as i64, "not even the one before it");
        let up = newest().run(&["migrate", "up", "--allow-destructive"]).await;
        assert_eq!(up.code, 0, "{up:?}");
        for set in ["shipped", "expanded"] {
            let older = || database.dlc().with_migrations(set);
            let words = "the database is ahead of this binary by ";
            older().run(&["migrate", "up"]).await.assert_error(4, words);
            older().run(&["serve", "--port", "0"]).await.assert_error(4, words);
            assert_eq!(older().run(&["migrate", "status", "--check"]).await.code, 4);
        }
    }

    async fn an_older_binary_reverts_what_it_does_not_know_by_the_stored_sql_and_prints_it_first(database: Database) {
        let newest = database.dlc().with_migrations("contracted");
        assert_eq!(newest.run(&["migrate", "up", "--allow-destructive"]).await.code, 0);
        database.execute("INSERT INTO coupons (name, amount, remaining_amount, note) VALUES ('c', 1, 1, 'n')").await;
        let old = database.dlc();
        old.run(&["migrate", "down", "--yes"]).await.assert_error(4, "this binary has no SQL to revert");
        let plan = old.run(&["migrate", "down", "--steps", "2", "--plan", "--use-stored-sql"]).await;
        assert_eq!(plan.code, 0, "{plan:?}");
        assert!(plan.stdout.contains("ALTER TABLE coupons DROP COLUMN note"), "{plan:?}");
        assert!(plan.stdout.contains("  column coupons.note: 1 row\n"), "{plan:?}");
        let down = old.run(&["migrate", "down", "--steps", "2", "--yes", "--use-stored-sql"]).await;
        assert_eq!(down.code, 0, "{down:?}");
        assert!(down.stderr.starts_with(&format!("stored SQL that reverts {CONTRACT}:\n  CREATE TABLE greet_history")), "{down:?}");
        assert!(down.stdout.contains(&format!("reverted {EXPAND}")), "{down:?}");
        let columns = match database.engine {
            Engine::Sqlite => "SELECT count(*) FROM pragma_table_info('coupons') WHERE name = 'note'",
            Engine::Postgres => "SELECT count(*) FROM information_schema.columns WHERE column_name = 'note'",
        };
        assert_eq!(database.number(columns).await, 0);
        assert_eq!(old.run(&["migrate", "status", "--check"]).await.code, 0);
    }
}

/// A table whose unique index cannot be built, because two rows are alike.
async fn unfinished() -> Database {
    let database = Database::migrated(Engine::Postgres).await;
    database
        .execute("INSERT INTO coupons (name, amount, remaining_amount) VALUES ('c', 2, 0)")
        .await;
    database
        .execute("INSERT INTO claims (user_id, coupon_name) VALUES ('a', 'c'), ('b', 'c')")
        .await;
    let failed = database
        .dlc()
        .with_migrations("concurrent that fails")
        .run(&["migrate", "up"])
        .await;
    failed.assert_error(
        1,
        &format!("{CONCURRENT} failed after 1 of 2 statements: could not create unique index"),
    );
    database
}

#[tokio::test]
async fn a_migration_that_is_no_transaction_and_fails_is_unfinished_until_the_next_run_heals_it() {
    let database = unfinished().await;
    let failing = || database.dlc().with_migrations("concurrent that fails");
    let status = failing().run(&["migrate", "status", "--check"]).await;
    assert_eq!(status.code, 4, "{status:?}");
    assert!(
        status.stdout.contains(&format!(
            "unfinished: {CONCURRENT} stopped after 1 of 2 statements\nbegin it again: dlc migrate up"
        )),
        "{status:?}"
    );
    let check = failing().run(&["db", "check", "--only", "MIG005"]).await;
    assert!(check.stdout.contains("stopped after 1 of 2 statements"), "{check:?}");
    let verify = failing().run(&["migrate", "verify"]).await;
    assert!(
        verify
            .stdout
            .contains("idx_claims_created_at ON claims USING btree (coupon_name) INVALID"),
        "{verify:?}"
    );
    failing()
        .run(&["serve", "--port", "0", "--migrate", "check"])
        .await
        .assert_error(4, "unfinished");
    // The author has found the mistake.
    let up = database
        .dlc()
        .with_migrations("concurrent")
        .run(&["migrate", "up"])
        .await;
    assert_eq!(up.code, 0, "{up:?}");
    assert_eq!(
        database
            .dlc()
            .with_migrations("concurrent")
            .run(&["migrate", "verify"])
            .await
            .code,
        0
    );
}

#[tokio::test]
async fn an_unfinished_migration_can_be_given_up() {
    let database = unfinished().await;
    let down = database
        .dlc()
        .with_migrations("concurrent that fails")
        .run(&["migrate", "down", "--yes"])
        .await;
    assert_eq!(down.code, 0, "{down:?}");
    let verify = database.dlc().run(&["migrate", "verify"]).await;
    assert_eq!(verify.code, 0, "{verify:?}");
}

#[tokio::test]
async fn what_a_newer_binary_left_unfinished_stops_an_older_one_and_is_given_up_by_the_stored_sql() {
    let database = unfinished().await;
    let old = database.dlc();
    for refused in [
        old.run(&["migrate", "up"]).await,
        old.run(&["serve", "--port", "0"]).await,
    ] {
        refused.assert_error(4, "stopped after 1 of 2 statements, and this binary does not know it");
        refused.assert_error(4, "dlc migrate down --use-stored-sql");
    }
    old.run(&["migrate", "down", "--yes"])
        .await
        .assert_error(4, "this binary has no SQL to revert");
    let down = old.run(&["migrate", "down", "--yes", "--use-stored-sql"]).await;
    assert_eq!(down.code, 0, "{down:?}");
    assert!(down.stderr.contains("DROP INDEX CONCURRENTLY IF EXISTS"), "{down:?}");
    let verify = old.run(&["migrate", "verify"]).await;
    assert_eq!(verify.code, 0, "{verify:?}");
}

on_both_engines! {
    async fn stored_sql_that_cannot_be_read_reverts_nothing(database: Database) {
        database.dlc().with_migrations("expanded").run(&["migrate", "up"]).await;
        database.execute(&format!("UPDATE dlc_migrations SET down_sql = '{{\"v\": 2}}' WHERE version = '{EXPAND}'")).await;
        let refused = database.dlc().run(&["migrate", "down", "--yes", "--use-stored-sql"]).await;
        refused.assert_error(4, "neither this binary nor the database has SQL to revert");
        assert_eq!(database.number("SELECT count(*) FROM seaql_migrations").await, ALL as i64 + 1);
    }

    async fn stored_sql_that_is_not_understood_says_so_and_shows_what_could_steer_a_terminal(database: Database) {
        database.dlc().with_migrations("expanded").run(&["migrate", "up"]).await;
        let sql = "[\"DROP TABLE public.greet_history, claims\", \"SELECT 1 -- \\u001b[2K\"]";
        database.execute(&format!("UPDATE dlc_migrations SET down_sql = '{sql}' WHERE version = '{EXPAND}'")).await;
        let plan = database.dlc().run(&["migrate", "down", "--plan", "--use-stored-sql"]).await;
        assert!(plan.stdout.contains("note: what the stored SQL takes away cannot be told for certain"), "{plan:?}");
        assert!(plan.stdout.contains("SELECT 1 -- \\u{1b}[2K"), "{plan:?}");
    }

    async fn a_gap_that_changes_rows_alone_is_not_proven(database: Database) {
        let raising = || database.dlc().with_migrations("raising");
        assert_eq!(raising().run(&["migrate", "up", "--allow-destructive"]).await.code, 0);
        for table in ["seaql_migrations", "dlc_migrations"] {
            database.execute(&format!("DELETE FROM {table} WHERE version LIKE '%_raise'")).await;
        }
        let repair = raising().run(&["migrate", "repair", "--yes"]).await;
        assert_eq!(repair.code, 4, "{repair:?}");
        assert!(repair.stdout.starts_with("left    m20270101_000006_raise"), "{repair:?}");
    }

    async fn what_somebody_agreed_to_is_reverted_or_nothing_is(database: Database) {
        let ask = || Terminal::start(database.dlc(), &["migrate", "down"]);
        let (first, second) = (ask(), ask());
        for terminal in [&first, &second] {
            terminal.until_shown("Type yes to go on:").await;
        }
        first.type_in("yes\n");
        assert_eq!(first.finished().await, 0);
        second.type_in("yes\n");
        second.until_shown("the history has changed since this was shown").await;
        assert_eq!(second.finished().await, 1);
        assert_eq!(database.number("SELECT count(*) FROM seaql_migrations").await, ALL as i64 - 1);
        let quiet = Terminal::start(database.dlc(), &["migrate", "down", "-q"]);
        assert_eq!(quiet.finished().await, 64);
    }

    async fn a_column_that_is_gone_already_is_no_loss(database: Database) {
        let expanded = || database.dlc().with_migrations("expanded");
        expanded().run(&["migrate", "up"]).await;
        database.execute("ALTER TABLE coupons DROP COLUMN note").await;
        let plan = expanded().run(&["migrate", "down", "--plan"]).await;
        assert_eq!((plan.code, plan.stdout.contains("would lose")), (0, false), "{plan:?}");
    }
}

#[tokio::test]
async fn a_history_in_another_schema_than_the_selected_one_stops_everything() {
    let database = Database::migrated(Engine::Postgres).await;
    database.execute("CREATE SCHEMA empty").await;
    let path = format!("ALTER DATABASE {} SET search_path = empty, public", database.name());
    database.execute(&path).await;
    for command in [&["migrate", "up"][..], &["migrate", "verify"], &["migrate", "status"]] {
        let refused = database.dlc().run(command).await;
        refused.assert_error(
            78,
            "the history of migrations is in the schema public, but new tables would be made in empty",
        );
    }
}

#[tokio::test]
async fn a_schema_whose_name_needs_quotes_is_one_like_any_other() {
    let database = Database::empty(Engine::Postgres).await;
    database.execute("CREATE SCHEMA \"My App\"").await;
    let path = format!("ALTER DATABASE {} SET search_path = \"My App\"", database.name());
    database.execute(&path).await;
    for command in [
        &["migrate", "up"][..],
        &["migrate", "status", "--check"],
        &["migrate", "verify"],
        &["coupon", "create", "SALSA", "--amount", "3"],
        &["coupon", "audit"],
    ] {
        let done = database.dlc().run(command).await;
        assert_eq!(done.code, 0, "{done:?}");
    }
}

#[tokio::test]
async fn where_no_schema_of_the_search_path_exists_nothing_is_called_never_migrated() {
    let database = Database::migrated(Engine::Postgres).await;
    let path = format!("ALTER DATABASE {} SET search_path = nowhere", database.name());
    database.execute(&path).await;
    for command in [
        &["migrate", "status"][..],
        &["migrate", "verify"],
        &["migrate", "plan"],
        &["migrate", "up"],
        &["migrate", "down", "--yes"],
        &["coupon", "audit"],
        &["serve", "--port", "0"],
        &["serve", "--port", "0", "--migrate", "off"],
    ] {
        let refused = database.dlc().run(command).await;
        refused.assert_error(78, "no schema of the search path exists");
    }
}
