//! Drill: a sale at two servers behind a PgBouncer in transaction mode, whose sessions with PostgreSQL are ended again and again.
//! Migrations through it, and what it cannot carry: `ops_pooler`.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::{
    Database, Engine, PgBouncer, Prepared,
    drill::{Figures, Random, drill},
    load::Load,
    postgres,
    sales::Shop,
};

const TIMES: usize = 4;

async fn sell_through_it(_: Random) -> Figures {
    let database = Database::empty(Engine::Postgres).await;
    let pooler = PgBouncer::start(Prepared::Known)
        .await
        .expect("a PgBouncer; scripts/pgbouncer gets one");
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
        database.name()
    );
    let url = pooler.url(&database);
    let variables = [("DATABASE_URL", url.as_str()), ("DLC_DATABASE__POOLER", "pgbouncer")];
    // It is empty: the first one migrates, through the pooler.
    let shop = Shop::open(database, 2, &variables).await;
    let load = Load::on(&shop, 16).await;
    let administration = &postgres::cluster().await.url("postgres");
    for _ in 0..TIMES {
        let mut session = PgConnection::connect(administration).await.unwrap();
        session.execute(AssertSqlSafe(end.as_str())).await.unwrap();
        load.goes_on().await;
    }
    load.ends().await;
    let tally = shop.close().await;
    Figures::default()
        .count("rounds of ended sessions", TIMES)
        .count("claims granted", tally.granted)
        .count("answers that said to come again", tally.unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_through_it_is_exact_even_while_its_sessions_end() {
    drill("a sale through PgBouncer (Postgres)", sell_through_it).await;
}
