//! `dlc bench claims`: a sale to a crowd over HTTP, at a running service, and whether the service kept its word.
//!
//! A load client shares its machine with what it loads, so what is done per claim stands apart and is as little as can be (`client`,
//! `crowd`, `plan`, `tally`, `latencies`); the rest is done before and after. Knows nothing of a database and of a configuration:
//! what only SQL can prove comes after [`play`], from whoever has the database ([`audit`]).

mod audit;
mod client;
mod crowd;
mod latencies;
mod plan;
mod progress;
mod report;
mod service;
mod tally;
mod verdict;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::{
    crowd::Crowd,
    plan::{Plan, Requests},
    progress::Progress,
    service::{Errand, Service},
    tally::Tally,
    verdict::Seen,
};
use super::{
    args::{ClaimsArgs, Format},
    exit::{Exit, Failure},
    printer::Printer,
};
pub use audit::audit;
pub use report::tell;

/// Pieces of a coupon, when nobody says how many.
const STOCK: i32 = 100;

/// Turns, when it is time that ends them: as many as a person's number has digits for.
const WITHOUT_END: u64 = 9_999_999_999;

/// How long a service that has just been through a crowd is waited for, and how often it is asked meanwhile.
const RECOVERY: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(250);

/// A sale that is over.
#[derive(Debug)]
pub struct Sale {
    /// The coupons that were claimed, or read.
    pub names: Vec<String>,
    /// What the names of those begin with that were made for it.
    prefix: Option<String>,
    stock: Option<i32>,
    crowd: Arc<Crowd>,
    concurrency: usize,
    reads: bool,
    keyed: bool,
    interrupted: bool,
    seconds: f64,
    check: Check,
}

/// What came of holding the coupons against the answers.
#[derive(Debug)]
enum Check {
    /// Nothing was claimed.
    NotAsked,
    /// Each fits.
    Fits,
    /// These do not, and why.
    Disagrees(Vec<(String, String)>),
    /// They could not be read.
    NotMade(Failure),
}

/// Plays a sale to its end, or until it is stopped; `run` is a name that no other run has, and that nobody can guess.
///
/// # Errors
/// When it cannot begin: no service is there, it is another one, or it turns a crowd away.
pub async fn play(args: &ClaimsArgs, run: &str, stop: &CancellationToken, printer: Printer) -> Result<Sale, Failure> {
    let run = format!("bench-{run}");
    let names = names(args, &run);
    let total = total(args, names.len())?;
    let service = Service::named(&args.url)?.found().await?;
    let made = args.coupon.is_empty();
    let errand = match (made, args.read) {
        (true, _) => Errand::Create(args.stock.unwrap_or(STOCK)),
        (false, false) => Errand::Look,
        (false, true) => Errand::Read,
    };
    let before = service.run(errand, &names).await?;
    let requests = if args.read {
        Requests::reads(&service, &names)
    } else {
        Requests::claims(&service, &names, &run, args.keyed)
    };
    let plan = Plan {
        coupons: names.len() as u64,
        hot_share: args.hot_share,
        same_user_every: args.same_user_every,
    };
    let concurrency = usize::from(args.concurrency);
    let connections = Crowd::gather(&service, concurrency).await?;
    let tally = Tally::new(names.len(), args.read);
    let crowd = Arc::new(Crowd::new(service, plan, requests, tally, total));

    let began = Instant::now();
    let mut under_way = crowd.begin(connections);
    let mut progress = Progress::new(printer, args.duration).filter(|_| args.format == Format::Text);
    let mut turn = tokio::time::interval(progress::TURN);
    turn.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let over = tokio::time::sleep(args.duration.unwrap_or_default());
    tokio::pin!(over);
    let (mut interrupted, mut is_over) = (false, args.duration.is_none());
    loop {
        tokio::select! {
            ended = under_way.join_next() => if ended.is_none() { break },
            () = stop.cancelled(), if !interrupted => {
                interrupted = true;
                crowd.stop();
            }
            () = &mut over, if !is_over => {
                is_over = true;
                crowd.stop();
            }
            _ = turn.tick(), if progress.is_some() => if let Some(progress) = &mut progress { progress.show(&crowd) },
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    drop(progress);
    if let Some(failure) = crowd.turned_away() {
        return Err(failure);
    }
    let check = if args.read {
        Check::NotAsked
    } else {
        check(&crowd, &names, &before).await
    };
    Ok(Sale {
        prefix: made.then(|| format!("{run}-")),
        stock: made.then(|| args.stock.unwrap_or(STOCK)),
        names,
        crowd,
        concurrency,
        reads: args.read,
        keyed: args.keyed,
        interrupted,
        seconds,
        check,
    })
}

fn names(args: &ClaimsArgs, run: &str) -> Vec<String> {
    if !args.coupon.is_empty() {
        return args.coupon.clone();
    }
    (1..=args.coupons.unwrap_or(1))
        .map(|number| format!("{run}-{number:04}"))
        .collect()
}

/// How many turns there are.
fn total(args: &ClaimsArgs, coupons: usize) -> Result<u64, Failure> {
    let usage = |message: &str, hint: &str| Err(Failure::new(Exit::Usage, "usage", message).hint(hint));
    if args.hot_share.is_some() && coupons < 2 {
        return usage(
            "--hot-share needs a second coupon",
            "say how many there are: --coupons 1000",
        );
    }
    if (1..args.coupon.len()).any(|index| args.coupon[..index].contains(&args.coupon[index])) {
        return usage("--coupon names a coupon twice", "name each once");
    }
    match (args.total, args.duration) {
        (Some(total), _) => Ok(total),
        (None, Some(_)) => Ok(WITHOUT_END),
        (None, None) if args.read || !args.coupon.is_empty() => usage(
            "how often, or for how long, is not said",
            "--total 10000 or --duration 10s; only a sale of new coupons has an end of its own",
        ),
        (None, None) => {
            let pieces = u64::from(args.stock.unwrap_or(STOCK).unsigned_abs()) * coupons as u64;
            Ok(WITHOUT_END.min(2 * pieces))
        }
    }
}

/// Holds the coupons against the answers.
async fn check(crowd: &Crowd, names: &[String], before: &[Seen]) -> Check {
    let began = Instant::now();
    let after = loop {
        match crowd.service.run(Errand::Look, names).await {
            Ok(after) => break after,
            Err(failure) if service::may_pass(&failure) && began.elapsed() < RECOVERY => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(failure) => return Check::NotMade(failure),
        }
    };
    let coupons = names.iter().zip(before.iter().zip(&after)).enumerate();
    let found: Vec<(String, String)> = coupons
        .filter_map(|(index, (name, (before, after)))| {
            let why = verdict::disagreement(*before, *after, crowd.tally.of(index))?;
            Some((name.clone(), why))
        })
        .collect();
    if found.is_empty() {
        Check::Fits
    } else {
        Check::Disagrees(found)
    }
}
