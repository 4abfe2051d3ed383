//! Help, version and wrong usage.

use crate::harness::{Dlc, snapshot};

/// The commands below one, as its help names them.
fn below(help: &str) -> Vec<String> {
    let Some((_, rest)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    let names = rest.lines().take_while(|line| !line.is_empty());
    // Further lines of a description stand further in.
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_help_of_every_command_is_as_kept() {
    let mut all = String::new();
    let mut commands = vec![Vec::new()];
    let mut count = 0;
    while let Some(command) = commands.pop() {
        let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let help = Dlc::new().env("COLUMNS", "100").run(&arguments).await;
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{help:?}");
        all.push_str(&format!("$ dlc {}\n{}\n", arguments.join(" "), help.stdout));
        let further = below(&help.stdout).into_iter().rev();
        commands.extend(further.map(|name| command.iter().cloned().chain([name]).collect()));
        count += 1;
    }
    assert!(count > 40, "{count}");
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
    // A password in a URL at the wrong place is not repeated.
    for value in ["--format", "--only"] {
        for arguments in [
            vec![format!("{value}=postgres://ann:cänary@h/db")],
            vec![value.to_owned(), "postgres://ann:cänary@h/db".to_owned()],
        ] {
            let arguments: Vec<&str> = ["db", "check"]
                .into_iter()
                .chain(arguments.iter().map(String::as_str))
                .collect();
            let refused = Dlc::new().run(&arguments).await;
            assert_eq!(refused.code, 64, "{refused:?}");
            assert!(!refused.stderr.contains("cänary"), "{refused:?}");
        }
    }
    assert_eq!(Dlc::new().run(&[]).await.code, 64);
    assert_eq!(Dlc::new().run(&["migrate"]).await.code, 64);
}
