//! CFG: is the configuration one that can work?

use super::{Check, Judge};
use crate::operations::check::{Layer, Verdict};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "CFG001",
        title: "database URL",
        cause: "No database is configured, or its URL cannot be read.",
        fix: "Set DATABASE_URL; dlc config show tells where every value came from.",
        judge: Judge::Case(|case| match &case.facts.config.database {
            Some(Ok(database)) => Verdict::ok(format!("{} from {}", database.target, database.source)),
            Some(Err(why)) => {
                Verdict::fail(why).hint("set DATABASE_URL; `dlc config show` tells where every value came from")
            }
            None => Verdict::skipped("not looked at"),
        }),
        ..Check::of(Layer::Configuration)
    },
    Check {
        id: "CFG002",
        title: "unknown keys and variables",
        cause: "A key or a DLC_ variable is misspelt, so the setting that was meant has its default.",
        fix: "Correct the name; dlc config template lists every one.",
        judge: Judge::Case(|case| match case.facts.config.unknown.as_slice() {
            [] => Verdict::ok("none"),
            unknown => {
                Verdict::warn(unknown.join("; ")).hint("`dlc config template --format yaml` lists every known key")
            }
        }),
        ..Check::of(Layer::Configuration)
    },
    Check {
        id: "CFG003",
        title: "secret files",
        cause: "A file that a secret is read from is not there, may not be read, or may be read by others.",
        fix: "Correct path, owner and mode (600); a container runs dlc as uid 10001.",
        judge: Judge::Case(|case| {
            let files = &case.facts.config.secret_files;
            if let Some((path, error)) = files
                .iter()
                .find_map(|file| file.error.as_ref().map(|error| (&file.path, error)))
            {
                return Verdict::fail(format!("{path}: {error}"))
                    .hint("the file must be readable by the user that runs dlc; a container runs it as uid 10001");
            }
            let open: Vec<&str> = files
                .iter()
                .filter(|file| file.open_to_others && !file.path.starts_with("/run/secrets/"))
                .map(|file| file.path.as_str())
                .collect();
            match (files.len(), open.as_slice()) {
                (0, _) => Verdict::ok("none used"),
                (count, []) => Verdict::ok(format!("{count} readable")),
                (_, open) => Verdict::warn(format!("readable by other users: {}", open.join(", ")))
                    .hint(format!("chmod 600 {}", open.join(" "))),
            }
        }),
        ..Check::of(Layer::Configuration)
    },
    Check {
        id: "CFG004",
        title: "values and contradictions",
        cause: "Settings exclude each other.",
        fix: "Correct one of them; dlc config show tells where each came from.",
        judge: Judge::Case(|case| match case.facts.config.contradictions.as_slice() {
            [] => Verdict::ok("none"),
            contradictions => Verdict::fail(contradictions.join("; "))
                .hint("correct it; `dlc config show` tells where every value came from"),
        }),
        ..Check::of(Layer::Configuration)
    },
    Check {
        id: "CFG005",
        title: "password and encryption",
        cause: "The password is one that everybody knows, or it travels in the clear.",
        fix: "dlc config gen-password makes one; ?sslmode=verify-full encrypts and checks the server.",
        judge: Judge::Case(|case| {
            if case.facts.config.sample_password {
                Verdict::warn("the password is a sample from documentation")
                    .hint("make a new one: dlc config gen-password")
            } else if let Some(host) = &case.facts.config.plaintext_to {
                Verdict::warn(format!("the connection to {host} is not encrypted"))
                    .hint("use ?sslmode=verify-full, or at least require")
            } else {
                Verdict::ok("fine")
            }
        }),
        ..Check::of(Layer::Configuration)
    },
];
