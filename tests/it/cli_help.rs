//! Help, version and wrong usage.

use crate::harness::{Dlc, snapshot};

const COMMANDS: &[&[&str]] = &[
    &[],
    &["serve"],
    &["migrate"],
    &["migrate", "up"],
    &["migrate", "down"],
    &["migrate", "status"],
    &["db"],
    &["db", "check"],
    &["user"],
    &["user", "create"],
    &["user", "list"],
    &["user", "show"],
    &["user", "disable"],
    &["user", "restore"],
    &["user", "allow-reset"],
    &["user", "purge"],
    &["coupon"],
    &["coupon", "create"],
    &["coupon", "list"],
    &["coupon", "show"],
    &["coupon", "audit"],
    &["greet"],
    &["greet", "prune"],
    &["config"],
    &["config", "show"],
    &["config", "check"],
    &["config", "template"],
    &["config", "gen-password"],
    &["auth"],
    &["auth", "gen-secret"],
    &["bench"],
    &["bench", "claims"],
    &["health"],
    &["openapi"],
];

#[tokio::test]
async fn the_help_of_every_command_is_as_kept() {
    let mut all = String::new();
    for command in COMMANDS {
        let arguments: Vec<&str> = command.iter().chain(&["--help"]).copied().collect();
        let help = Dlc::new().env("COLUMNS", "100").run(&arguments).await;
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{help:?}");
        all.push_str(&format!("$ dlc {}\n{}\n", arguments.join(" "), help.stdout));
    }
    snapshot::assert_file("tests/it/snapshots/help.txt", &all);
}

#[tokio::test]
async fn the_version_is_printed() {
    let version = Dlc::new().run(&["--version"]).await;
    assert_eq!(
        (version.code, version.stdout),
        (0, format!("dlc {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[tokio::test]
async fn wrong_usage_is_one_error_with_exit_64() {
    for (arguments, words) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'"),
        (&["migrate", "sideways"], "unrecognized subcommand 'sideways'"),
        (&["serve", "--prot", "1"], "unexpected argument '--prot' found"),
        (&["migrate", "up", "--steps", "many"], "invalid value 'many'"),
        (&["migrate", "up", "--steps", "1", "--to", "x"], "cannot be used with"),
        (&["db", "check", "--format", "xml"], "invalid value 'xml'"),
        (&["serve", "--port", "99999"], "99999 is not in 0..=65535"),
        (&["serve", "--wait", "soon"], "invalid value 'soon'"),
        (&["serve", "--migrate", "maybe"], "invalid value 'maybe'"),
        (
            &["--profile", "prod", "config", "show"],
            "expected development, test, staging or production",
        ),
        (&["db", "check", "--only", "XYZ001"], "there is no check XYZ001"),
    ] {
        Dlc::new().run(arguments).await.assert_error(64, words);
    }
    assert_eq!(Dlc::new().run(&[]).await.code, 64);
    assert_eq!(Dlc::new().run(&["migrate"]).await.code, 64);
}
