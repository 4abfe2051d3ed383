//! CFG: is the configuration one that can work?

use super::{Check, FailureClass, Judge, Layer, Question, Verdict};

const fn check(
    id: &'static str,
    title: &'static str,
    [cause, fix]: [&'static str; 2],
    judge: fn(&crate::ports::inspection::Facts) -> Verdict,
) -> Check {
    Check {
        id,
        title,
        layer: Layer::Configuration,
        class: FailureClass::Configuration,
        engine: None,
        deep: false,
        own: false,
        cause,
        fix,
        question: Question::NONE,
        judge: Judge::Facts(judge),
    }
}

pub(super) const CHECKS: &[Check] = &[
    check(
        "CFG001",
        "database URL",
        [
            "No database is configured, or its URL cannot be read.",
            "Set DATABASE_URL; dlc config show tells where every value came from.",
        ],
        |facts| match &facts.config.database {
            Some(Ok(database)) => Verdict::ok(format!("{} from {}", database.target, database.source)),
            Some(Err(why)) => {
                Verdict::fail(why).hint("set DATABASE_URL; `dlc config show` tells where every value came from")
            }
            None => Verdict::skipped("not looked at"),
        },
    ),
    check(
        "CFG002",
        "unknown keys and variables",
        [
            "A key or a DLC_ variable is misspelt, so the setting that was meant has its default.",
            "Correct the name; dlc config template lists every one.",
        ],
        |facts| match facts.config.unknown.as_slice() {
            [] => Verdict::ok("none"),
            unknown => {
                Verdict::warn(unknown.join("; ")).hint("`dlc config template --format yaml` lists every known key")
            }
        },
    ),
    check(
        "CFG003",
        "secret files",
        [
            "A file that a secret is read from is not there, may not be read, or may be read by others.",
            "Correct path, owner and mode (600); a container runs dlc as uid 10001.",
        ],
        |facts| {
            let files = &facts.config.secret_files;
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
        },
    ),
    check(
        "CFG004",
        "values and contradictions",
        [
            "Settings exclude each other.",
            "Correct one of them; dlc config show tells where each came from.",
        ],
        |facts| match facts.config.contradictions.as_slice() {
            [] => Verdict::ok("none"),
            contradictions => Verdict::fail(contradictions.join("; "))
                .hint("correct it; `dlc config show` tells where every value came from"),
        },
    ),
    check(
        "CFG005",
        "password and encryption",
        [
            "The password is one that everybody knows, or it travels in the clear.",
            "dlc config gen-password makes one; ?sslmode=verify-full encrypts and checks the server.",
        ],
        |facts| {
            if facts.config.sample_password {
                Verdict::warn("the password is a sample from documentation")
                    .hint("make a new one: dlc config gen-password")
            } else if let Some(host) = &facts.config.plaintext_to {
                Verdict::warn(format!("the connection to {host} is not encrypted"))
                    .hint("use ?sslmode=verify-full, or at least require")
            } else {
                Verdict::ok("fine")
            }
        },
    ),
];
