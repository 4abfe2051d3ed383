//! `dlc user …` and `dlc greet prune`: accounts and greetings from the command line.

use argon2::{Argon2, PasswordVerifier};
use regex::Regex;
use serde_json::{Value, json};

use crate::harness::{Database, Dlc, Engine, Finished, Server, on_both_engines, postgres, snapshot};

/// Begins with what no test lets leak.
const PASSWORD: &str = "cänary tulip ferry onyx";

fn done(finished: &Finished, stdout: &str) {
    assert_eq!((finished.code, finished.stdout.as_str()), (0, stdout), "{finished:?}");
    finished.assert_no_secret();
}

/// Runs a command that has to do what it is asked for.
async fn does(dlc: &Dlc, arguments: &[&str]) -> Finished {
    let finished = dlc.run(arguments).await;
    assert_eq!(finished.code, 0, "{finished:?}");
    finished
}

async fn create(dlc: &Dlc, arguments: &[&str]) -> Finished {
    let arguments = [&["user", "create", "--password-stdin"], arguments].concat();
    dlc.run_with_input(&arguments, &format!("{PASSWORD}\n")).await
}

async fn verifies(database: &Database, name: &str, password: &str) -> bool {
    let sql = format!("SELECT password_hash FROM users WHERE username = '{name}'");
    let hash = database.rows(&sql).await[0][0].clone();
    Argon2::default()
        .verify_password(password.as_bytes(), hash.as_str())
        .is_ok()
}

async fn count(database: &Database) -> i64 {
    database.number("SELECT count(*) FROM users").await
}

on_both_engines! {
    async fn an_account_is_made_listed_disabled_restored_and_purged(database: Database) {
        let dlc = database.dlc();
        done(&dlc.run(&["user", "list"]).await, "there are no accounts; make one: dlc user create NAME --admin\n");
        done(&create(&dlc, &["Ada", "--admin"]).await, "created Ada (id 1), an administrator\n");
        done(&create(&dlc, &["bob"]).await, "created bob (id 2)\n");
        assert!(verifies(&database, "bob", PASSWORD).await);
        assert!(!verifies(&database, "bob", "cänary tulip ferry onyy").await);
        let disabled = dlc.run(&["user", "disable", "BOB"]).await;
        done(&disabled, "disabled bob and signed its owner out everywhere; to take it back: dlc user restore bob\n");
        let again = dlc.run(&["user", "disable", "bob"]).await;
        assert!(again.code == 0 && again.stdout.starts_with("bob was disabled already, at 2"), "{again:?}");
        let names = async |arguments: &[&str]| -> Vec<String> {
            let listed = dlc.run(&[&["user", "list"], arguments].concat()).await;
            assert_eq!(listed.code, 0, "{listed:?}");
            assert!(listed.lines().iter().all(|line| line.len() <= 80), "{listed:?}");
            listed.lines()[1..].iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&[]).await, ["Ada"]);
        assert_eq!(names(&["--deleted"]).await, ["bob"]);
        assert_eq!(names(&["--all"]).await, ["Ada", "bob"]);
        done(&dlc.run(&["user", "restore", "bob"]).await, "restored bob\n");
        done(&dlc.run(&["user", "restore", "bob"]).await, "bob is not disabled; nothing was changed\n");
        done(&dlc.run(&["user", "list", "--deleted"]).await, "no account is disabled\n");
        does(&dlc, &["user", "disable", "bob"]).await;
        let early = dlc.run(&["user", "purge", "--deleted-before", "30d"]).await;
        assert!(early.code == 0 && early.stdout.starts_with("nothing to do: no account was disabled before 2"), "{early:?}");
        let unconfirmed = dlc.run(&["user", "purge", "--deleted-before", "0s"]).await;
        unconfirmed.assert_error(64, "hint: confirm with --yes");
        assert!(unconfirmed.stderr.contains("would delete for good 1 account disabled before 2"), "{unconfirmed:?}");
        assert_eq!(count(&database).await, 2);
        let purged = dlc.run(&["user", "purge", "--deleted-before", "0s", "--yes"]).await;
        assert!(purged.code == 0 && purged.stdout.starts_with("deleted 1 account disabled before 2"), "{purged:?}");
        done(&create(&dlc, &["BOB"]).await, "created BOB (id 3)\n");
        let events = database.rows("SELECT action, actor FROM audit_events ORDER BY id").await;
        let actions: Vec<&str> = events.iter().map(|event| event[0].as_str()).collect();
        let expected = [
            "user.created", "user.created", "user.deleted", "user.restored", "user.deleted", "user.purged", "user.created",
        ];
        assert_eq!(actions, expected);
        assert!(events.iter().all(|event| event[1] == events[0][1]), "{events:?}");
    }

    async fn what_cannot_be_done_is_said_with_its_exit_code(database: Database) {
        let dlc = database.dlc();
        assert_eq!(create(&dlc, &["ada", "--admin"]).await.code, 0);
        create(&dlc, &["ADA"]).await.assert_error(1, "ADA: an account of that name exists already");
        assert_eq!(create(&dlc, &["eve"]).await.code, 0);
        does(&dlc, &["user", "disable", "eve"]).await;
        create(&dlc, &["Eve"]).await.assert_error(1, "maybe a deleted one");
        let reset = dlc.run(&["user", "allow-reset", "eve"]).await;
        reset.assert_error(1, "eve: the account is disabled hint: restore it first: dlc user restore eve");
        for command in ["show", "disable", "restore", "allow-reset"] {
            let unknown = dlc.run(&["user", command, "nobody"]).await;
            unknown.assert_error(1, "nobody: there is no such user hint: dlc user list --all");
            for wrong in ["ab", "a b c", "ädä", &"a".repeat(51)] {
                dlc.run(&["user", command, wrong]).await.assert_error(64, "for '<NAME>': it m");
            }
        }
        dlc.run(&["user", "disable", "ada"]).await.assert_error(1, "ada: this is the last administrator");
        for (weak, why) in [
            ("cänary\n", "must have at least 12 characters"),
            ("Password1234\n", "is one of the passwords that are tried first"),
            (&"cänary".repeat(30), "must have at most 128 characters"),
        ] {
            let refused = dlc.run_with_input(&["user", "create", "carl", "--password-stdin"], weak).await;
            refused.assert_error(1, &format!("carl: the password {why}"));
        }
        let floor = database.dlc().env("DLC_AUTH__PASSWORD_MIN_LENGTH", "32");
        create(&floor, &["carl"]).await.assert_error(1, "must have at least 32 characters");
        for nothing in ["", "\n", "\r\n", "\ncänary tulip ferry onyx\n"] {
            let empty = dlc.run_with_input(&["user", "create", "carl", "--password-stdin"], nothing).await;
            empty.assert_error(64, "standard input holds no password");
        }
        let nowhere = dlc.run(&["user", "create", "carl"]).await;
        nowhere.assert_error(64, "no terminal to type a password on hint: give it with --password-stdin, or have one made with --generate");
        for (arguments, words) in [
            (&["user", "create", "carl", "--generate", "--password-stdin"][..], "cannot be used with"),
            (&["user", "create", "carl", "--password", "cänary"], "unexpected argument '--password' found"),
            (&["user", "create", "carl", "--password=cänary"], "unexpected argument '--password' found"),
            (&["user", "list", "--all", "--deleted"], "cannot be used with"),
            (&["user", "purge"], "required arguments were not provided"),
            (&["user", "purge", "--deleted-before", "soon"], "write it as 30d, 2026-01-31 or 2026-01-31T12:00:00Z"),
            (&["user", "purge", "--deleted-before", "2999-01-01", "--yes"], "must be a time in the past"),
            (&["greet", "prune"], "required arguments were not provided"),
            (&["greet", "prune", "--older-than", "1000000000y"], "--older-than is before all times"),
        ] {
            dlc.run(arguments).await.assert_error(64, words);
        }
        assert_eq!(count(&database).await, 2);
    }

    async fn a_secret_that_is_told_once_is_told_alone_and_never_to_nobody(database: Database) {
        let dlc = database.dlc();
        let created = dlc.run(&["user", "create", "ada", "--generate", "--admin"]).await;
        let password = created.stdout.strip_suffix('\n').unwrap();
        assert_eq!((created.code, password.len()), (0, 32), "{created:?}");
        assert_eq!(created.stderr, "created ada (id 1), an administrator; its password is told this once\n");
        assert!(verifies(&database, "ada", password).await);
        let reset = dlc.run(&["user", "allow-reset", "ada"]).await;
        let code = Regex::new("^[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{4}){4}-[0-9A-HJKMNP-TV-Z]{5}$").unwrap();
        assert!(code.is_match(reset.lines()[0]), "{reset:?}");
        assert!(reset.lines()[1].starts_with("good until 2"), "{reset:?}");
        assert!(reset.stderr.starts_with("for ada alone: "), "{reset:?}");
        assert!(!reset.stderr.contains(reset.lines()[0]), "{reset:?}");
        let codes = "SELECT count(*) FROM users WHERE allow_password_reset";
        assert_eq!(database.number(codes).await, 1);
        for command in [&["-q", "user", "create", "bob", "--generate"][..], &["-q", "user", "allow-reset", "ada"]] {
            let silent = dlc.run(command).await;
            assert_eq!((silent.code, silent.stdout.as_str(), silent.stderr.as_str()), (64, "", ""));
        }
        assert_eq!(count(&database).await, 1);
        let quiet = create(&dlc, &["bob", "-q"]).await;
        assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
        // A reader that is not there: the account is made, and it is said how to go on.
        let mut child = dlc.command(&["user", "create", "carl", "--generate"]).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().await.unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains("the password could not be printed"), "{told}");
        assert!(told.contains("dlc user allow-reset carl"), "{told}");
    }

    async fn the_reports_for_programs_are_as_kept(database: Database) {
        let dlc = database.dlc();
        let mut all = String::new();
        for arguments in [
            "user list",
            "user create ada --admin --password-stdin",
            "user create bob --generate",
            "user create bob --generate",
            "user create eve --password-stdin",
            "user allow-reset ada",
            "user disable bob",
            "user disable bob",
            "user disable ada",
            "user show ada",
            "user show nobody",
            "user list --all",
            "user restore bob",
            "user disable bob",
            "user purge --deleted-before 0s",
            "user purge --deleted-before 0s --yes",
            "greet prune --older-than 90d",
        ] {
            let words: Vec<&str> = arguments.split(' ').chain(["--format", "json"]).collect();
            let input = if arguments.contains("eve") { "cänary" } else { PASSWORD };
            let finished = dlc.run_with_input(&words, input).await;
            finished.assert_no_secret();
            let report = finished.json();
            assert_eq!(report["exit_code"], finished.code, "{finished:?}");
            all.push_str(&format!("$ dlc {}\n{}\n", words.join(" "), finished.stdout));
        }
        let changing = [
            (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", "<time>"),
            (r#""password": "\w{32}""#, r#""password": "<password>""#),
            (r#""code": "[0-9A-Z-]{31}""#, r#""code": "<code>""#),
        ];
        let all = changing
            .iter()
            .fold(all, |all, (found, instead)| Regex::new(found).unwrap().replace_all(&all, *instead).into_owned());
        snapshot::assert_file("tests/it/snapshots/user.json.txt", &all);
    }

    async fn old_greetings_are_pruned_and_others_stay(database: Database) {
        assert_eq!(create(&database.dlc(), &["ada"]).await.code, 0);
        database
            .execute(
                "INSERT INTO greet_history (message, user_id, created_at) VALUES \
                 ('old', 1, '2020-01-01T00:00:00.000000+00:00'), ('older', NULL, '2019-01-01T00:00:00.000000+00:00')",
            )
            .await;
        database.execute("INSERT INTO greet_history (message) VALUES ('new')").await;
        let slip = database.dlc().run(&["greet", "prune", "--older-than", "0s"]).await;
        slip.assert_error(64, "greetings of the last day would be deleted");
        let pruned = database.dlc().run(&["greet", "prune", "--older-than", "90d"]).await;
        assert!(pruned.code == 0 && pruned.stdout.starts_with("deleted 2 greetings recorded before 2"), "{pruned:?}");
        assert_eq!(database.rows("SELECT message FROM greet_history").await, [["new"]]);
        let again = database.dlc().run(&["greet", "prune", "--older-than", "90d"]).await;
        assert!(again.stdout.starts_with("nothing to do: no greeting was recorded before 2"), "{again:?}");
    }

    async fn a_password_is_in_no_log_and_no_list_of_processes(database: Database) {
        let loud = database.dlc().env("RUST_LOG", "trace").env("DLC_LOG__LEVEL", "trace");
        let finished = create(&loud, &["ada", "-vv"]).await;
        assert_eq!(finished.code, 0, "{finished:?}");
        finished.assert_no_secret();
        let mut child = loud.command(&["user", "create", "bob", "--password-stdin"]).spawn().unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        tokio::io::AsyncWriteExt::write_all(stdin, PASSWORD.as_bytes()).await.unwrap();
        for file in ["cmdline", "environ"] {
            // In the moment in which a program takes its process over, the process has neither. It waits for more of its input.
            let (started, mut text) = (std::time::Instant::now(), Vec::new());
            while text.is_empty() {
                assert!(started.elapsed().as_secs() < 20, "{file}");
                text = std::fs::read(format!("/proc/{}/{file}", child.id().unwrap())).unwrap();
            }
            assert!(!String::from_utf8_lossy(&text).contains("tulip"), "{file}");
        }
        let ended = child.wait_with_output().await.unwrap();
        assert!(ended.status.success());
        assert!(verifies(&database, "bob", PASSWORD).await, "the last line needs no end");
    }

    async fn a_running_service_knows_at_once_what_was_done_on_the_command_line(server: Server) {
        let dlc = server.database.dlc();
        for name in ["ada", "root"] {
            assert_eq!(create(&dlc, &[name, "--admin"]).await.code, 0);
        }
        let tokens = server.login("Ada", PASSWORD).await;
        assert_eq!(tokens.status, 200, "{tokens:?}");
        let me = async || {
            let token = tokens.body["access_token"].as_str().unwrap();
            server.send(server.request(reqwest::Method::GET, "/api/v1/users/me").bearer_auth(token)).await
        };
        assert_eq!(me().await.body["is_admin"], true);
        assert!(!does(&dlc, &["user", "show", "ada"]).await.stdout.contains("never"), "a sign-in is shown");
        does(&dlc, &["user", "disable", "ada"]).await;
        assert_eq!((me().await.status, server.login("ada", PASSWORD).await.status), (401, 401));
        does(&dlc, &["user", "restore", "ada"]).await;
        assert_eq!(server.login("ada", PASSWORD).await.status, 200);
        assert_eq!(me().await.status, 401, "what was ended stays ended");
        // The code, as somebody types it.
        let code = does(&dlc, &["user", "allow-reset", "ada"]).await.lines()[0].to_lowercase().replace('-', " ");
        let reset = json!({"username": "ada", "code": code, "new_password": "heron slate 7 kiosks"});
        assert_eq!(server.post("/api/v1/auth/password-reset", reset.clone()).await.status, 204);
        assert_eq!(server.post("/api/v1/auth/password-reset", reset).await.status, 400);
        assert_eq!(server.login("ada", "heron slate 7 kiosks").await.status, 200);
        assert_eq!(server.login("ada", PASSWORD).await.status, 401);
    }

    async fn many_accounts_are_listed_in_the_order_in_which_they_were_made(database: Database) {
        let names: Vec<String> = (0..1_201).map(|number| format!("('user-{number:04}', 'x')")).collect();
        database.execute(&format!("INSERT INTO users (username, password_hash) VALUES {}", names.join(", "))).await;
        let listed = database.dlc().run(&["user", "list"]).await;
        assert_eq!(listed.lines().len(), 1_202);
        let found: Vec<&str> = listed.lines()[1..].iter().map(|line| &line[..9]).collect();
        assert!(found.is_sorted() && found[0] == "user-0000", "{found:?}");
        let json: Value = database.dlc().run(&["user", "list", "--format", "json"]).await.json();
        assert_eq!(json["users"].as_array().unwrap().len(), 1_201);
    }
}

#[tokio::test]
async fn what_a_user_tells_of_themself_steers_no_terminal() {
    let database = Database::migrated(Engine::Sqlite).await;
    assert_eq!(create(&database.dlc(), &["ada"]).await.code, 0);
    database
        .execute("UPDATE users SET description = 'one' || char(27) || '[2J' || char(10) || 'two'")
        .await;
    let shown = database.dlc().run(&["user", "show", "ada"]).await;
    assert!(
        shown.stdout.contains("description     one\\u{1b}[2J two\n"),
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_database_that_was_not_migrated_is_left_as_it_is() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let database = Database::empty(engine).await;
        for command in [
            &["user", "list"][..],
            &["user", "create", "ada", "--generate"],
            &["greet", "prune", "--older-than", "1d"],
        ] {
            let refused = database.dlc().run(command).await;
            refused.assert_error(1, "the database was never migrated hint: apply them: dlc migrate up");
        }
        assert!(engine == Engine::Postgres || !database.file().exists());
        database.remove().await;
    }
    let half = Database::empty(Engine::Sqlite).await;
    assert_eq!(half.dlc().run(&["migrate", "up", "--steps", "2"]).await.code, 0);
    half.dlc()
        .run(&["user", "list"])
        .await
        .assert_error(1, "the database lacks tables or columns: ");
    // What is pending and not needed keeps nobody out.
    let database = Database::migrated(Engine::Sqlite).await;
    let expanded = database.dlc().with_migrations("expanded");
    assert_eq!(create(&expanded, &["ada"]).await.code, 0);
}

#[tokio::test]
async fn a_role_without_grants_and_a_database_that_is_not_there_are_told_apart() {
    let database = Database::migrated(Engine::Postgres).await;
    let role = format!("{}_clerk", database.name());
    let make = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{}'; GRANT SELECT ON seaql_migrations, dlc_migrations, users TO {role}",
        postgres::PASSWORD.replace('\'', "''")
    );
    database.execute(&make).await;
    let clerk = Dlc::new().env("DATABASE_URL", &database.url.replace("dlc_test:", &format!("{role}:")));
    let refused = clerk.run(&["user", "list"]).await;
    database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
    refused.assert_error(77, "before user list, PRV002 tables and sequences: ");
    let nowhere = Dlc::new().env("DATABASE_URL", "postgres://u:cänary@127.0.0.1:9/dlc_test");
    nowhere
        .run(&["user", "list"])
        .await
        .assert_error(69, "connection refused");
}
