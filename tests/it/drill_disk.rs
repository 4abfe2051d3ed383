//! Drill: the disk is full while a crowd claims, on either engine, with a disk (a tmpfs) of the database's own; the file may not be
//! written to, or is somebody else's. Whoever was granted something has it, nobody is told anything else than to come again, and
//! room is all that it takes to go on. Backups on a full disk: `cli_db_backup`.

use std::{
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::{
    Database, Dlc, Engine, Server,
    drill::{Figures, Random, drill},
    ledger::Heard,
    postgres::{Cluster, Order},
    sales::{PATIENT, Shop, Tills, Wish, verdicts},
};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// How often the full disk is met before there is room again.
const REFUSALS: usize = 20;

/// Who comes first, while there is room; and who comes at all.
const FIRST: usize = 40;
const MANY: usize = 5_000;

/// Claims in person until the disk was met often enough. Returns how many came.
async fn meet_the_full_disk(shop: &Shop) -> usize {
    let (mut came, mut refused, started) = (FIRST, 0, Instant::now());
    while refused < REFUSALS {
        let people = came..came + 8;
        assert!(people.end < MANY && started.elapsed() < LIMIT, "it is never full");
        let ask = async |tills: Tills, wish: Wish, number| tills.claim(&wish, number).await;
        let heard = shop
            .tills
            .rush_of(8, Wish::of_all_kinds(people.clone(), "c"), ask)
            .await;
        refused += heard.iter().filter(|heard| matches!(heard, Heard::Unknown(_))).count();
        came = people.end;
    }
    came
}

/// Whatever else is written is made or refused, and some of it is refused. What was freed by a checkpoint may take a few.
async fn assert_no_room_for_coupons(shop: &Shop) {
    for number in 0..1_000 {
        let body = json!({"name": format!("another-{number}"), "amount": 1});
        let answer = shop.server(number).post("/api/v1/coupons", body).await;
        match answer.status {
            201 => {}
            503 => return,
            _ => panic!("{answer:?}"),
        }
    }
    panic!("there is room for a thousand coupons");
}

/// Sells until the disk is full and after it is not, and holds everything against the tables. The server on SQLite alone sees its
/// disk: its file is looked at as it was in the end.
async fn sell_on(
    mut shop: Shop,
    fill: impl AsyncFnOnce(),
    free: impl AsyncFnOnce(),
    seen: impl FnOnce() -> Option<Database>,
) -> Figures {
    shop.offer("c", MANY).await;
    let heard = shop.tills.rush(Wish::of_all_kinds(0..FIRST, "c")).await;
    assert_eq!(verdicts(&heard), (FIRST, 0), "{heard:?}");
    fill().await;
    let came = meet_the_full_disk(&shop).await;
    for server in shop.servers() {
        for path in ["/livez", "/healthz", "/metrics"] {
            assert_eq!(server.get(path).await.status, 200, "{path}");
        }
    }
    assert_no_room_for_coupons(&shop).await;
    free().await;
    let back = Instant::now();
    let heard = shop.tills.rush(Wish::of_all_kinds(0..came, "c")).await;
    assert_eq!(verdicts(&heard), (came, 0), "{heard:?}");
    let recovered = back.elapsed();
    for server in shop.servers() {
        server.until("/readyz", 200).await;
    }
    if let Some(database) = seen() {
        shop.look_at(database);
    }
    let tally = shop.close().await;
    Figures::default()
        .count("claims granted", tally.granted)
        .count("answers that said to come again", tally.unknown)
        .longest("everybody knows the truth after room was made within", recovered)
}

/// Fills a disk to the last byte.
fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    for size in [64 * 1024, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

async fn full_under_sqlite(_: Random) -> Figures {
    let place = tempfile::Builder::new().prefix("dlc-test-disk-").tempdir().unwrap();
    let url = |place: &Path| format!("sqlite://{}/shop_test.db", place.display());
    let database = Database::at(Engine::Sqlite, &url(place.path()));
    let dlc = PATIENT
        .iter()
        .fold(database.dlc(), |dlc, (name, value)| dlc.env(name, value));
    let server = Server::start_as(database, dlc.on_a_disk_of("6m", place.path()), &[]).await;
    // Its disk as it is seen from here.
    let disk = Path::new("/proc").join(server.pid().to_string()).join("root");
    let disk = disk.join(place.path().strip_prefix("/").unwrap());
    let log = server.log_as_it_comes();
    let ballast = disk.join("ballast");
    let copies = tempfile::Builder::new().prefix("dlc-test-disk-").tempdir().unwrap();
    let figures = sell_on(
        Shop::with(vec![server]),
        async || fill(&ballast),
        async || std::fs::remove_file(&ballast).unwrap(),
        || {
            for name in ["shop_test.db", "shop_test.db-wal"] {
                std::fs::copy(disk.join(name), copies.path().join(name)).unwrap();
            }
            Some(Database::at(Engine::Sqlite, &url(copies.path())))
        },
    )
    .await;
    assert!(log().contains("database or disk is full"), "{}", log());
    figures
}

async fn full_under_postgres(_: Random) -> Figures {
    let options = "-c synchronous_commit=on -c fsync=on -c max_wal_size=8MB -c min_wal_size=2MB";
    let cluster = Cluster::on_a_disk_of("96m", options).await;
    let database = Database::at(Engine::Postgres, &cluster.url("postgres"));
    let shop = Shop::open(database, 2, PATIENT).await;
    sell_on(
        shop,
        async || cluster.order(Order::FillDisk).await,
        async || {
            cluster.order(Order::FreeDisk).await;
            // It ends when it cannot write its log, and cannot recover either before there is room.
            cluster.order(Order::Revive).await;
        },
        || None,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_sqlite_costs_no_granted_claim_and_room_is_enough_to_go_on() {
    drill("full disk (Sqlite)", full_under_sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_postgresql_costs_no_granted_claim_and_room_is_enough_to_go_on() {
    drill("full disk (Postgres)", full_under_postgres).await;
}

/// A migrated database in a directory of its own, as a program without privileges finds it.
async fn elsewhere(place: &Path) -> Dlc {
    let file = place.join("shop_test.db");
    let url = format!("sqlite://{}", file.display());
    let dlc = || Dlc::new().env("DATABASE_URL", &url).env("DLC_LOG__FORMAT", "pretty");
    assert_eq!(dlc().run(&["migrate", "up"]).await.code, 0);
    assert_eq!(dlc().run(&["coupon", "create", "c", "--amount", "1"]).await.code, 0);
    dlc().without_privileges()
}

/// What nobody may change, and whoever tries is told whose mistake it is.
async fn assert_refused(permissions: [u32; 2], words: &str) -> Figures {
    let place = tempfile::Builder::new().prefix("dlc-test-disk-").tempdir().unwrap();
    let dlc = elsewhere(place.path()).await;
    let file = place.path().join("shop_test.db");
    let before = std::fs::read(&file).unwrap();
    for (path, mode) in [(file.as_path(), permissions[0]), (place.path(), permissions[1])] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let writing: &[&[&str]] = &[
        &["serve", "--port", "0", "--wait", "0s"],
        &["migrate", "down", "--yes"],
        &["coupon", "create", "d", "--amount", "1"],
        &["user", "create", "ada", "--generate"],
    ];
    for arguments in writing {
        let refused = dlc.run(arguments).await;
        refused.assert_error(77, words);
        assert!(refused.stderr.contains("correct owner and mode"), "{refused:?}");
        assert_eq!(refused.stdout, "", "{refused:?}");
    }
    let check = dlc.run(&["db", "check"]).await;
    assert_ne!(check.code, 0, "{check:?}");
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, permissions[0]);
    Figures::default().count("commands refused", writing.len() + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_read_only_is_refused_with_the_way_out_and_stays_as_it_is() {
    drill("read-only file (Sqlite)", async |_| {
        assert_refused([0o444, 0o555], "cannot").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_somebody_elses_is_refused_with_the_way_out_and_stays_as_it_is() {
    // Who is root has made it, and runs the program as somebody else; nobody else can give a file away, and takes it from themself.
    let mode = if rustix::process::geteuid().is_root() {
        0o600
    } else {
        0o000
    };
    drill("wrong owner (Sqlite)", async |_| {
        assert_refused([mode, 0o755], "cannot").await
    })
    .await;
}
