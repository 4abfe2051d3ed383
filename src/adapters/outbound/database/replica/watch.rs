//! Asks the replica how far it has come, and decides whether it is used.
//!
//! It is asked on a session of the watch's own, with short limits, so that one that hangs or has vanished is left within a second; reads go there again once it has answered, is a replica still, of this very log, and is not far behind.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use dlc_application::ports::connection::ConnectError;

use super::{
    link::Link,
    questions::{self, Look},
    state::Replica,
};
use crate::{error, options::DatabaseOptions, session::Session};

/// How often a replica is asked that is there, and one that is not.
const EVERY: Duration = Duration::from_millis(200);
/// After how long one is asked, and then less and less often, that has something yet to show: the primary answers meanwhile.
const SOON: Duration = Duration::from_millis(20);
const EVERY_WHILE_AWAY: Duration = Duration::from_millis(500);
/// For how long nothing is said of a replica that has yet to come to the primary's first answer.
const BEGIN: Duration = Duration::from_secs(2);
/// Longest time for an answer.
const LIMIT: Duration = Duration::from_millis(500);
/// Longest time for all connections of a link.
const FILL_LIMIT: Duration = Duration::from_secs(5);
/// Longest time for a new connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Why a replica is not used.
#[derive(Debug)]
enum Away {
    Unreachable(ConnectError),
    Silent,
    Refuses(String),
    /// The primary does not say where its log ends.
    Unknown,
    Promoted,
    Foreign,
    OtherTimeline,
    /// It is further behind than it may be; by how much, where that is known.
    Behind(Option<Duration>),
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "{}: {}", error.target, error.cause),
            Self::Silent => write!(f, "it does not answer within {} ms", LIMIT.as_millis()),
            Self::Refuses(words) => write!(f, "it does not say how far it has come: {words}"),
            Self::Unknown => f.write_str("the primary does not say where its log ends"),
            Self::Promoted => f.write_str("it is no replica, or none any more: it takes writes itself"),
            Self::Foreign => f.write_str("it is no copy of this database, but of another one"),
            Self::OtherTimeline => {
                f.write_str("it follows another timeline: a server was promoted, and it has not come to that yet")
            }
            Self::Behind(Some(behind)) => write!(f, "it is {:.1} s behind", behind.as_secs_f64()),
            Self::Behind(None) => f.write_str("it is far behind"),
        }
    }
}

/// Whoever asks the replica.
pub(super) struct Watch {
    options: DatabaseOptions,
    replica: Arc<Replica>,
    session: Option<Session>,
    /// The server that the link leads to.
    since: String,
    /// What was said last; `None`: nothing yet.
    said: Option<bool>,
}

impl Watch {
    pub(super) fn new(options: &DatabaseOptions, replica: Arc<Replica>) -> Self {
        Self {
            options: options.clone(),
            replica,
            session: None,
            since: String::new(),
            said: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut soon = EVERY;
        loop {
            let looked = self.look().await;
            let followed = match looked {
                Ok(look) => self.follow(&look).await,
                Err(why) => Err(why),
            };
            self.judge(followed);
            let pause = match self.replica.link() {
                Some(link) if self.replica.shows_everything(&link) => EVERY,
                Some(_) => soon,
                None if self.begins() => EVERY / 10,
                None => EVERY_WHILE_AWAY,
            };
            soon = (soon * 2).min(EVERY);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // A replica that is slow is not asked for new connections as fast as its reads fail.
                () = self.replica.doubted.notified() => tokio::time::sleep(EVERY).await,
                () = self.replica.awaited.notified(), if self.replica.link().is_some() => {
                    tokio::time::sleep(SOON).await;
                    soon = SOON;
                }
            }
        }
    }

    /// Whether it is too early for a word.
    fn begins(&self) -> bool {
        self.said.is_none() && self.replica.epoch.elapsed() < BEGIN
    }

    async fn look(&mut self) -> Result<Look, Away> {
        // A link that a read has found dead: so may be this session, without knowing.
        let known = self.replica.link().and(self.session.take());
        let mut session = match known {
            Some(session) => session,
            None => {
                let options = DatabaseOptions {
                    connect_timeout: self.options.connect_timeout.min(CONNECT_LIMIT),
                    ..self.options.without_time_limits()
                };
                Session::Postgres(options.postgres_session().await.map_err(Away::Unreachable)?)
            }
        };
        let look = tokio::time::timeout(LIMIT, questions::of_replica(&mut session)).await;
        let look = look.map_err(|_| Away::Silent)?;
        let look = look.map_err(|e| Away::Refuses(error::words(&e)))?;
        self.session = Some(session);
        Ok(look)
    }

    fn judge(&mut self, followed: Result<Duration, Away>) {
        match followed {
            Ok(behind) => self.say_used(behind),
            Err(Away::Unknown | Away::Behind(_)) if self.begins() => {}
            Err(why) => {
                if !matches!(why, Away::Behind(_)) {
                    self.replica.set_link(None);
                }
                self.say_away(&why);
            }
        }
    }

    /// Notes how far the replica has come. Returns how old it is, where it is used.
    async fn follow(&mut self, look: &Look) -> Result<Duration, Away> {
        let (reached, replayed) = {
            let mut samples = self.replica.samples();
            let Some(log) = samples.log() else {
                return Err(Away::Unknown);
            };
            if !log.is_of_the_same_database(&look.log) {
                return Err(Away::Foreign);
            }
            let Some(replayed) = look.replayed else {
                return Err(Away::Promoted);
            };
            if log.timeline != look.log.timeline {
                return Err(Away::OtherTimeline);
            }
            (samples.reached(replayed), replayed)
        };
        let known = |link: &Arc<Link>| self.since == look.since && !link.is_left();
        let link = self.replica.link().filter(known);
        let link = match link {
            Some(link) => link,
            None => {
                let link = Link::new(&self.options, &look.since, self.replica.epoch).map_err(Away::Unreachable)?;
                let link = Arc::new(link);
                let filled = tokio::time::timeout(FILL_LIMIT, link.fill()).await;
                let filled = filled.map_err(|_| Away::Silent)?;
                filled.map_err(|e| Away::Unreachable(error::connect(&e, &self.options.url)))?;
                self.since.clone_from(&look.since);
                self.replica.set_link(Some(Arc::clone(&link)));
                link
            }
        };
        let Some(as_of) = reached else {
            link.note(replayed, self.replica.epoch, false);
            return Err(Away::Behind(None));
        };
        let behind = Instant::now().saturating_duration_since(as_of);
        // One that comes and goes at the limit would be said to do so all the time.
        let max = self.replica.max_lag;
        let limit = if self.said == Some(false) { max / 2 } else { max };
        let usable = behind <= limit;
        link.note(replayed, as_of, usable);
        if usable {
            Ok(behind)
        } else {
            Err(Away::Behind(Some(behind)))
        }
    }

    fn say_used(&mut self, behind: Duration) {
        if self.said.replace(true) != Some(true) {
            tracing::info!(
                "the replica {} is used for reads that may be a little old; it is {:.1} s behind",
                self.options.url.redacted(),
                behind.as_secs_f64()
            );
        }
    }

    fn say_away(&mut self, why: &Away) {
        if self.said.replace(false) != Some(false) {
            tracing::warn!(
                code = "replica_away",
                "the replica {} is not used, and the primary answers all reads: {why}; `dlc db check --only REP001` looks at it",
                self.options.url.redacted()
            );
        }
    }
}
