//! `docs/data.md`: its recipes work, and its consoles show what the program says.

use std::path::PathBuf;

use crate::{
    docs_data_backups, docs_data_move, docs_data_upgrade,
    harness::{Console, Document, Service, postgres},
};

const DOCUMENT: Document = Document {
    path: "docs/data.md",
    usual: docs_data_backups::USUAL,
};

/// Programs of the server that came with the packages of the machine, as pgBackRest did: an older one knows no newer server.
fn packaged_programs() -> PathBuf {
    let mut majors: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|major| major.unwrap().path().join("bin"))
        .filter(|programs| programs.join("initdb").exists())
        .collect();
    majors.sort();
    majors.pop().unwrap_or_else(postgres::programs)
}

/// All in one test: in update mode each writes the same file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recipe_does_what_it_says() {
    docs_data_backups::a_backup_is_made_verified_and_restored(DOCUMENT).await;
    a_moment_before_the_accident_is_restored().await;
    docs_data_upgrade::a_database_comes_to_a_server_of_the_next_major().await;
    docs_data_move::everything_is_moved_to_the_other_engine().await;
}

async fn a_moment_before_the_accident_is_restored() {
    let mut service = Service::new(&packaged_programs());
    let directory = service.directory.display().to_string();
    service.run("mkdir repository; pg_ctl start --wait --silent; createdb dlc");
    let of_the_test = format!("log-path={directory}\nlock-path={directory}/lock\nlog-level-file=off\n");
    let configuration = DOCUMENT
        .recipe("pgbackrest.conf")
        .replace("/var/lib/pgbackrest", &format!("{directory}/repository"))
        .replace("/var/lib/postgresql/data", &format!("{directory}/data"))
        .replace("[global]\n", &format!("[global]\n{of_the_test}"));
    // The port and the socket are not the usual ones here.
    let port = service.port;
    let way = format!("pg1-socket-path={directory}\npg1-port={port}\npg1-user=dlc_test\n");
    std::fs::write(service.directory.join("pgbackrest.conf"), configuration + &way).unwrap();
    service.run(&format!(
        "cat >>data/postgresql.conf <<'END'\n{}END\npg_ctl restart --wait --silent",
        DOCUMENT.recipe("postgresql.conf")
    ));
    let run = async |arguments: &[&str]| {
        let finished = service.dlc("dlc").run(arguments).await;
        assert_eq!(finished.code, 0, "{finished:?}");
        finished
    };
    run(&["migrate", "up", "-q"]).await;
    run(&["coupon", "create", "SALSA", "--amount", "50"]).await;
    service.run(&DOCUMENT.recipe("begin"));
    service.run(
        "psql -qd dlc -c \"WITH sold AS (UPDATE coupons SET remaining_amount = 30 RETURNING name) \
         INSERT INTO claims (user_id, coupon_name) SELECT 'user ' || n, name FROM sold, generate_series(1, 20) n\"",
    );
    // The tool goes back to whole seconds of its own.
    let moment = service.run("sleep 1.1; psql -Atd dlc -c 'SELECT now()'");
    service.run("psql -qd dlc -c 'DROP TABLE claims; UPDATE users SET is_admin = true'");
    let restore = DOCUMENT
        .recipe("restore")
        .replace("2027-01-01 09:14:59+00", moment.trim());
    assert!(restore.contains(moment.trim()), "{restore}");
    service.run(&restore.replace("pg_ctl start --wait", "pg_ctl start --wait --silent"));
    let mut console = Console::default();
    console.run(service.dlc("dlc"), "dlc migrate verify").await;
    console.run(service.dlc("dlc"), "dlc coupon audit").await;
    DOCUMENT.assert_replayed("after", console);
    assert_eq!(service.run("psql -Atd dlc -c 'SELECT count(*) FROM claims'"), "20\n");
}
