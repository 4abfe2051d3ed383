//! `dlc migrate …`: one file per question that is asked, `run` for what changes something.

mod plan;
mod progress;
mod repair;
mod run;
mod status;
mod verify;

use std::time::Duration;

use dlc_application::{operations::migrate::Target, ports::migrations::DownRequest};

use super::args::{DownArgs, UpTarget};

pub use plan::{down as plan_down, up as plan_up};
pub use progress::Progress;
pub use repair::repair;
pub use run::{down, up};
pub use status::status;
pub use verify::verify;

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn target(args: UpTarget) -> Target {
    match (args.to, args.steps) {
        (Some(version), _) => Target::Version(version),
        (None, Some(steps)) => Target::Steps(steps),
        (None, None) => Target::All,
    }
}

fn down_request(args: &DownArgs) -> DownRequest {
    let target = match (args.to.as_deref(), args.steps) {
        (Some("0"), _) => Target::All,
        (Some(version), _) => Target::Version(version.to_owned()),
        (None, steps) => Target::Steps(steps.unwrap_or(1)),
    };
    DownRequest {
        target,
        use_stored_sql: args.use_stored_sql,
        agreed: None,
    }
}
