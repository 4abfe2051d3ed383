//! What sentences about a database that goes away and comes back mean: on PostgreSQL a server of the scenario's own, on SQLite
//! the file.

use std::time::{Duration, Instant};

use cucumber::{given, then, when};

use crate::{
    harness::{
        Database, Engine,
        postgres::{Cluster, Order},
    },
    world::World,
};

/// Nobody is told to come again for longer.
const LIMIT: Duration = Duration::from_secs(20);

#[given("a PostgreSQL server that has been stopped")]
async fn has_been_stopped(world: &mut World) {
    a_cluster(world).await;
    order(world, Order::Stop).await;
}

#[given("the service is running on a database that can be taken away")]
async fn can_be_taken_away(world: &mut World) {
    match world.engine() {
        Engine::Postgres => a_cluster(world).await,
        Engine::Sqlite => world.database = Some(Database::migrated(Engine::Sqlite).await),
    }
    world.start().await;
}

async fn a_cluster(world: &mut World) {
    // What was granted has to survive a server that is killed.
    let cluster = Cluster::own("-c synchronous_commit=on").await;
    world.database = Some(Database::at(Engine::Postgres, &cluster.url("postgres")));
    world.cluster = Some(cluster);
}

async fn order(world: &mut World, order: Order) {
    let cluster = world.cluster.as_ref().expect("a PostgreSQL of its own");
    cluster.order(order).await;
}

#[when("the database goes away")]
async fn goes_away(world: &mut World) {
    match world.engine() {
        Engine::Postgres => order(world, Order::Stop).await,
        Engine::Sqlite => {
            let file = world.database().file();
            std::fs::rename(&file, file.with_extension("away")).unwrap();
        }
    }
}

#[when("the database is killed")]
async fn is_killed(world: &mut World) {
    order(world, Order::Kill).await;
}

#[when("the database comes back")]
async fn comes_back(world: &mut World) {
    match world.engine() {
        Engine::Postgres => order(world, Order::Start).await,
        Engine::Sqlite => {
            let file = world.database().file();
            std::fs::rename(file.with_extension("away"), &file).unwrap();
        }
    }
}

#[when(expr = "{word} claims {string} again, for as long as he is told to come again")]
async fn claims_again(world: &mut World, who: String, coupon: String) {
    let started = Instant::now();
    loop {
        world.claim(&who, &coupon).await;
        if world.answer().status != 503 {
            return;
        }
        // A connection of the pool may have died with the server, which is found out by whoever gets it.
        is_told_to_come_again(world).await;
        assert!(started.elapsed() < LIMIT, "no claim works any more: {world:?}");
    }
}

#[then("he is told to come again in a second")]
async fn is_told_to_come_again(world: &mut World) {
    world.answer().assert_problem(503, "database_unavailable");
    assert_eq!(world.answer().header("retry-after"), "1", "{world:?}");
}

#[then("it has logged that the database is back")]
async fn has_logged_the_return(world: &mut World) {
    world.server().until_logged("the database is back").await;
}
