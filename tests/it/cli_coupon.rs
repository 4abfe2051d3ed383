//! `dlc coupon create`, `list` and `show`: what is on sale, from the command line.

use regex::Regex;
use serde_json::json;

use crate::harness::{Database, Dlc, Engine, Finished, Server, on_both_engines, snapshot};

fn done(finished: &Finished, stdout: &str) {
    assert_eq!((finished.code, finished.stdout.as_str()), (0, stdout), "{finished:?}");
}

async fn create(dlc: &Dlc, name: &str, amount: &str) -> Finished {
    dlc.run(&["coupon", "create", "--amount", amount, "--", name]).await
}

/// The first column of a list.
fn names(listed: &Finished) -> Vec<&str> {
    assert_eq!(listed.code, 0, "{listed:?}");
    let lines = listed.lines().into_iter().skip(1);
    lines.map(|line| line.split("  ").next().unwrap()).collect()
}

on_both_engines! {
    async fn a_coupon_is_created_listed_and_shown(database: Database) {
        let dlc = database.dlc();
        done(&dlc.run(&["coupon", "list"]).await, "there are no coupons; make one: dlc coupon create NAME --amount N\n");
        done(&create(&dlc, "SALSA", "50").await, "created SALSA with 50 pieces\n");
        done(&create(&dlc, "BACHATA 💃", "1").await, "created BACHATA 💃 with 1 piece\n");
        database.execute("INSERT INTO claims (user_id, coupon_name) VALUES ('zoe', 'SALSA'), ('ann b', 'SALSA')").await;
        database.execute("UPDATE coupons SET remaining_amount = 48 WHERE name = 'SALSA'").await;
        let listed = dlc.run(&["coupon", "list"]).await;
        let time = Regex::new(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap();
        let seen = time.replace_all(&listed.stdout, "<time>");
        assert_eq!(
            seen,
            "NAME        AMOUNT  LEFT  CLAIMED  CREATED\nBACHATA 💃       1     1        0  <time>\nSALSA           50    48        2  <time>\n"
        );
        let first = dlc.run(&["coupon", "list", "--limit", "1"]).await;
        assert_eq!((names(&first), first.stderr.as_str()), (vec!["BACHATA 💃"], "there are more: --limit N lists more of them, and all without it\n"));
        for all in ["2", "3", "4294967295"] {
            let listed = dlc.run(&["coupon", "list", "--limit", all]).await;
            assert_eq!((names(&listed).len(), listed.stderr.as_str()), (2, ""));
        }
        let shown = dlc.run(&["coupon", "show", "SALSA"]).await;
        let seen = time.replace_all(&shown.stdout, "<time>").into_owned();
        let figures = "name     SALSA\namount   50\nleft     48\nclaimed  2\ncreated  <time>\n";
        assert_eq!((shown.code, seen.as_str()), (0, figures));
        let shown = dlc.run(&["coupon", "show", "SALSA", "--claims"]).await;
        let seen = time.replace_all(&shown.stdout, "<time>").into_owned();
        assert_eq!(seen, format!("{figures}\nCLAIMED BY  AT\nzoe         <time>\nann b       <time>\n"));
        let nobody = dlc.run(&["coupon", "show", "BACHATA 💃", "--claims"]).await;
        assert_eq!(nobody.lines().len(), 5, "{nobody:?}");
    }

    async fn what_cannot_be_done_is_said_with_its_exit_code(database: Database) {
        let dlc = database.dlc();
        assert_eq!(create(&dlc, "SALSA-10", "5").await.code, 0);
        let taken = create(&dlc, "SALSA-10", "9").await;
        taken.assert_error(1, "SALSA-10: a coupon of that name exists already hint: dlc coupon show tells of it; dlc coupon list lists them all");
        assert_eq!(database.number("SELECT remaining_amount FROM coupons").await, 5);
        for (name, hint) in [
            ("salsa-10", "did you mean SALSA-10? dlc coupon list lists them all"),
            ("SALSA10", "did you mean SALSA-10? dlc coupon list lists them all"),
            ("TANGO", "dlc coupon list lists them all"),
        ] {
            let unknown = dlc.run(&["coupon", "show", name]).await;
            unknown.assert_error(1, &format!("{name}: there is no such coupon hint: {hint}"));
        }
        for (arguments, words) in [
            (&["coupon"][..], ""),
            (&["coupon", "create", "c"], "required arguments were not provided: --amount <N>"),
            (&["coupon", "create", "--amount", "5"], "required arguments were not provided: <NAME>"),
            (&["coupon", "create", "..", "--amount", "5"], "it must not be . or .., which no address can end in"),
            (&["coupon", "create", "c", "--amount", "0"], "it must be between 1 and 2147483647"),
            (&["coupon", "create", "c", "--amount", "-1"], "it must be between 1 and 2147483647"),
            (&["coupon", "create", "c", "--amount", "2147483648"], "it must be between 1 and 2147483647"),
            (&["coupon", "create", "c", "--amount", "99999999999999999999"], "it is no whole number within reason"),
            (&["coupon", "create", "c", "--amount", "1.5"], "it is no whole number within reason"),
            (&["coupon", "create", " ", "--amount", "1"], "it must not be blank"),
            (&["coupon", "show", ""], "it must not be blank"),
            (&["coupon", "show", &"💃".repeat(256)], "it must have at most 255 characters"),
            (&["coupon", "audit", "\t"], "it must not be blank"),
            (&["coupon", "list", "--limit", "0"], "0 is not in 1..=4294967295"),
        ] {
            let wrong = dlc.run(arguments).await;
            assert_eq!(wrong.code, 64, "{wrong:?}");
            assert!(wrong.stderr.contains(words), "{words:?} is not in {wrong:?}");
        }
        database.execute("UPDATE coupons SET remaining_amount = 6").await;
        let broken = dlc.run(&["coupon", "show", "SALSA-10"]).await;
        broken.assert_error(1, "SALSA-10: the database refused the statement hint: `dlc coupon audit` tells whether it is the coupon's row");
    }

    async fn names_of_every_kind_are_shown_so_that_one_can_tell_them_apart(database: Database) {
        let dlc = database.dlc();
        for name in ["a b", "a  b", "-x", "--limit", "\u{1b}[2J", "a\nb", "\u{202e}abc", "'; --", "\"a\""] {
            let created = create(&dlc, name, "5").await;
            assert_eq!(created.code, 0, "{created:?}");
            let shown = dlc.run(&["coupon", "show", "--", name]).await;
            assert_eq!(shown.lines().len(), 5, "{shown:?}");
            for said in [created, shown] {
                assert!(!said.stdout.contains(['\u{1b}', '\u{202e}']), "{said:?}");
            }
        }
        database.execute("INSERT INTO claims (user_id, coupon_name) VALUES ('\u{1b}[2J', 'a b')").await;
        let claims = dlc.run(&["coupon", "show", "a b", "--claims"]).await;
        assert!(claims.stdout.contains("\"\\u{1b}[2J\""), "{claims:?}");
        let listed = dlc.run(&["coupon", "list"]).await;
        let mut seen: Vec<String> = listed.lines()[1..].iter().map(|line| line[..14].trim().to_owned()).collect();
        seen.sort();
        let all = ["\"\\\"a\\\"\"", "\"\\u{1b}[2J\"", "\"\\u{202e}abc\"", "\"a  b\"", "\"a\\nb\"", "'; --", "--limit", "-x", "a b"];
        assert_eq!(seen, all);
    }

    async fn a_running_service_and_the_command_line_see_the_same_coupons(server: Server) {
        let dlc = server.database.dlc();
        assert_eq!(create(&dlc, "c", "5").await.code, 0);
        assert_eq!(server.get("/api/v1/coupons/c").await.body["remaining_amount"], 5);
        for user in ["zoe", "ann"] {
            assert_eq!(server.post("/api/v1/coupons/c/claims", json!({"user_id": user})).await.status, 201);
        }
        let shown = dlc.run(&["coupon", "show", "c", "--claims", "--format", "json"]).await.json();
        assert_eq!(shown["coupon"]["remaining_amount"], 3);
        let users: Vec<&str> = shown["claims"].as_array().unwrap().iter().map(|claim| claim["user_id"].as_str().unwrap()).collect();
        assert_eq!(users, ["zoe", "ann"]);
    }

    async fn long_lists_are_printed_whole_and_a_reader_may_go_away(database: Database) {
        let coupons: Vec<String> = (0..1_201).map(|n| format!("('c-{n:04}', 5000, 3799)")).collect();
        let claims: Vec<String> = (0..1_201).map(|n| format!("('u-{n:04}', 'c-0007')")).collect();
        database.execute(&format!("INSERT INTO coupons (name, amount, remaining_amount) VALUES {}", coupons.join(", "))).await;
        database.execute(&format!("INSERT INTO claims (user_id, coupon_name) VALUES {}", claims.join(", "))).await;
        let dlc = database.dlc();
        let listed = dlc.run(&["coupon", "list"]).await;
        assert!(names(&listed).len() == 1_201 && names(&listed).is_sorted(), "{}", listed.stderr);
        assert!(listed.lines().iter().all(|line| line.len() <= 80), "{}", listed.lines()[0]);
        for (limit, count) in [("500", 500), ("501", 501), ("1200", 1_200), ("1201", 1_201)] {
            let listed = dlc.run(&["coupon", "list", "--limit", limit, "--format", "json"]).await.json();
            assert_eq!(listed["coupons"].as_array().map(Vec::len), Some(count));
            assert_eq!(listed["more"], count < 1_201, "{limit}");
        }
        let shown = dlc.run(&["coupon", "show", "c-0007", "--claims"]).await;
        let claimants: Vec<&str> = shown.lines()[7..].iter().map(|line| &line[..6]).collect();
        assert!(claimants.len() == 1_201 && claimants.is_sorted(), "{}", shown.stderr);
        let mut child = dlc.command(&["coupon", "list"]).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().await.unwrap();
        assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0));
        let quiet = dlc.run(&["-q", "coupon", "list", "--limit", "1"]).await;
        assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
    }

    async fn the_reports_for_programs_are_as_kept(database: Database) {
        let dlc = database.dlc();
        let mut all = String::new();
        for arguments in [
            "coupon list",
            "coupon create SALSA --amount 2",
            "coupon create SALSA --amount 2",
            "coupon create TANGO --amount 1",
            "coupon list --limit 1",
            "coupon show SALSA",
            "coupon show salsa",
            "coupon audit",
            "sql",
            "coupon show SALSA --claims",
            "coupon audit",
            "coupon audit TANGO",
            "coupon audit tango",
        ] {
            if arguments == "sql" {
                database.execute("INSERT INTO claims (user_id, coupon_name) VALUES ('ann', 'SALSA'), ('bob', 'SALSA')").await;
                continue;
            }
            let words: Vec<&str> = arguments.split(' ').chain(["--format", "json"]).collect();
            let finished = dlc.run(&words).await;
            assert_eq!(finished.json()["exit_code"], finished.code, "{finished:?}");
            all.push_str(&format!("$ dlc {}\n{}\n", words.join(" "), finished.stdout));
        }
        let time = Regex::new(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z").unwrap();
        snapshot::assert_file("tests/it/snapshots/coupon.json.txt", &time.replace_all(&all, "<time>"));
    }
}

#[tokio::test]
async fn a_database_that_was_not_migrated_is_left_as_it_is() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let database = Database::empty(engine).await;
        for command in [
            &["coupon", "create", "c", "--amount", "1"][..],
            &["coupon", "list"],
            &["coupon", "show", "c"],
            &["coupon", "audit"],
        ] {
            let refused = database.dlc().run(command).await;
            refused.assert_error(1, "the database was never migrated hint: apply them: dlc migrate up");
        }
        assert!(engine == Engine::Postgres || !database.file().exists());
        database.remove().await;
    }
}
