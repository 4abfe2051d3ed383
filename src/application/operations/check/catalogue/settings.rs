//! SET, CLK: is the server set up so that it keeps what it acknowledges, and does its clock agree?

use super::{Check, Judge, Question};
use crate::{
    operations::check::{Layer, Limits, Measured, Unit, Verdict},
    ports::inspection::Engine,
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "CLK001",
        title: "clocks",
        cause: "This host's clock and the server's differ: tokens, time-outs and logs do not agree.",
        fix: "Synchronise both (chrony, systemd-timesyncd).",
        engine: Some(Engine::Postgres),
        judge: Judge::Quantity(Limits::new(Unit::Seconds, 2.0, 5.0), |case| {
            match case.facts.server.as_ref().map(|server| &server.value) {
                Some(Ok(session)) => Ok(Measured {
                    value: session.clock_ahead.abs(),
                    words: match session.clock_ahead {
                        // Less than that cannot be told over a network.
                        ahead if ahead.abs() < 0.001 => "they agree",
                        ahead if ahead < 0.0 => "this host is behind",
                        _ => "this host is ahead",
                    }
                    .to_owned(),
                    hint: Some("synchronise both clocks: timedatectl set-ntp true".to_owned()),
                    ..Measured::default()
                }),
                _ => Err("no session".to_owned()),
            }
        }),
        ..Check::of(Layer::Health)
    },
    Check {
        id: "SET001",
        title: "durability and time limits",
        cause: "What the server has acknowledged is not on disk yet, so a crash loses it; or nothing ends a statement that runs \
                 for ever.",
        fix: "ALTER SYSTEM SET fsync = on and full_page_writes = on, always. synchronous_commit = off is a choice: the last \
                 moments are lost in a crash. Behind a pooler: ALTER ROLE … SET statement_timeout.",
        engine: Some(Engine::Postgres),
        question: Question::postgres(
            "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
                    (SELECT reset_val FROM pg_settings WHERE name = 'statement_timeout'), \
                    (SELECT reset_val FROM pg_settings WHERE name = 'lock_timeout'), \
                    (SELECT reset_val FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'), quote_ident(current_user)",
        ),
        judge: Judge::Case(|case| {
            let off = |column, name: &str| (case.text(column) == "off").then(|| format!("{name} = off"));
            let lost: Vec<String> = [off(0, "fsync"), off(1, "full_page_writes")]
                .into_iter()
                .flatten()
                .collect();
            if !lost.is_empty() {
                return Verdict::fail(format!("{}: a crash can destroy the database", lost.join(", "))).hint(
                    "ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();",
                );
            }
            let config = &case.facts.config;
            // Through a pooler dlc can set nothing; the role has to bring its limits.
            let mut problems = Vec::new();
            let mut hints = Vec::new();
            for (column, (setting, limit, usual)) in config.session_limits().into_iter().enumerate() {
                let unlimited = if config.pooler {
                    case.text(3 + column) == "0"
                } else {
                    limit.is_none()
                };
                if unlimited {
                    problems.push(format!("no {setting}"));
                    hints.push(if config.pooler {
                        format!("ALTER ROLE {} SET {setting} = '{usual}';", case.text(6))
                    } else {
                        format!(
                            "DLC_DATABASE__{}={usual}",
                            setting.to_uppercase().replace("_SESSION", "")
                        )
                    });
                }
            }
            if case.text(2) == "off" {
                problems.push("synchronous_commit = off: a crash loses the last moments".to_owned());
                hints.push("ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf();".to_owned());
            }
            if problems.is_empty() {
                Verdict::ok("what is acknowledged is kept; what waits or hangs ends")
            } else {
                Verdict::warn(problems.join("; ")).hint(hints.join(" "))
            }
        }),
        ..Check::of(Layer::Health)
    },
];
