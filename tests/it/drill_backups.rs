//! Drill: backup after backup while everybody claims. Each of them, restored, is what its manifest says, passes the audit, and shows one
//! moment of the sale: nobody has a coupon in it whose piece is still there, and what was sold before it was begun is in it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    cli_db_backup::{dlc, manifest, text},
    harness::{
        Database, Engine,
        drill::{drill, in_all_sizes, note},
        on_both_engines,
        sales::{PATIENT, Shop, Wish},
    },
};

fn backups() -> usize {
    if in_all_sizes() { 20 } else { 8 }
}

/// Claims in a backup, as its manifest says.
fn claims(file: &Path) -> u64 {
    manifest(file)["audit"]["claims"].as_u64().unwrap()
}

/// Backs up again and again, and returns each with what was sold before and after it.
async fn back_up(database: &Database, to: &Path) -> Vec<(PathBuf, i64, i64)> {
    let mut made = Vec::new();
    for _ in 0..backups() {
        let sold = "SELECT count(*) FROM claims";
        let before = database.number(sold).await;
        let finished = dlc(database)
            .run(&["db", "backup", "--to", text(to), "--format", "json"])
            .await;
        assert_eq!(finished.code, 0, "{finished:?}");
        let report = finished.json();
        assert_eq!(report["recorded"], Value::Bool(true), "{finished:?}");
        let file = PathBuf::from(report["backup"]["file"].as_str().unwrap());
        made.push((file, before, database.number(sold).await));
    }
    made
}

on_both_engines! {
    async fn backups_of_a_flash_sale_are_each_one_moment_of_it(engine: Engine) {
        let people = if in_all_sizes() { 60_000 } else { 12_000 };
        drill(format!("backups ({engine:?})"), async |_| {
            let shop = Shop::open(Database::migrated(engine).await, 1, PATIENT).await;
            shop.offer("backed-up", people / 2).await;
            let to = crate::cli_db_backup::directory();
            let crowd = {
                let (tills, wishes) = (shop.tills.clone(), Wish::of_all(0..people, "backed-up"));
                tokio::spawn(async move { tills.rush(wishes).await })
            };
            let made = back_up(shop.database(), to.path()).await;
            crowd.await.unwrap();
            let mut moments = 0;
            for (number, (file, before, after)) in made.iter().enumerate() {
                let verified = dlc(shop.database()).run(&["db", "verify", text(file)]).await;
                assert_eq!(verified.code, 0, "{verified:?}");
                let held = claims(file);
                assert!((*before..=*after).contains(&i64::try_from(held).unwrap()), "{held}: {before} to {after}");
                moments += usize::from(held > 0 && (held as usize) < people / 2);
                // Looked at from outside, too: the first, the last and one of those between.
                if [0, made.len() / 2, made.len() - 1].contains(&number) {
                    let target = Database::empty(engine).await;
                    let restored = dlc(&target).run(&["db", "restore", text(file), "--into", &target.url]).await;
                    assert_eq!(restored.code, 0, "{restored:?}");
                    let audited = target.dlc().run(&["coupon", "audit"]).await;
                    assert_eq!(audited.code, 0, "{audited:?}");
                    assert_eq!(target.number("SELECT count(*) FROM claims").await, i64::try_from(held).unwrap());
                }
            }
            // Otherwise it proves little.
            assert!(moments >= 2, "the sale was over too soon: {moments} of {} backups are of it", made.len());
            if in_all_sizes() {
                note(&format!("backups ({engine:?}): {moments} of {} were made while there were pieces left", made.len()));
            }
            shop.close().await
        })
        .await;
    }
}
