//! `dlc completions` and `dlc man`, in real shells and by the real formatter.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::harness::Dlc;

/// Runs a script in a shell that finds the program as `dlc`.
fn in_shell(shell: &str, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_dlc"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let home = tempfile::tempdir().unwrap();
    let run = Command::new(shell)
        .args(["-c", script])
        .env("PATH", path)
        .env("HOME", home.path())
        .output();
    run.unwrap_or_else(|error| panic!("{shell}: {error}; scripts/test installs it"))
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let complete = |words: &str| {
        let count = words.split(' ').count() - 1;
        let mut backwards = words.rsplit(' ');
        let (last, before) = (backwards.next().unwrap(), backwards.next().unwrap());
        let script = format!(
            "source <(dlc completions bash); COMP_WORDS=({words}); COMP_CWORD={count}; _dlc dlc '{last}' '{before}'; echo \"${{COMPREPLY[*]}}\""
        );
        said(&in_shell("bash", &script)).trim().to_owned()
    };
    assert_eq!(complete("dlc mi"), "migrate");
    assert_eq!(complete("dlc migrate sta"), "status");
    assert_eq!(complete("dlc serve --po"), "--port");
    assert_eq!(complete("dlc db check --format n"), "nagios");
}

#[test]
fn fish_completes_with_what_the_help_says() {
    let completed = said(&in_shell(
        "fish",
        "dlc completions fish | source; complete -C 'dlc migrate sta'",
    ));
    let (name, about) = completed.trim().split_once('\t').unwrap();
    assert_eq!(name, "status");
    assert!(!about.is_empty());
}

#[test]
fn zsh_takes_the_script() {
    let script =
        "autoload -Uz compinit && compinit -u -d $HOME/dump && source <(dlc completions zsh) && print $_comps[dlc]";
    assert_eq!(said(&in_shell("zsh", script)).trim(), "_dlc");
}

#[tokio::test]
async fn an_unknown_shell_is_refused_with_those_that_are_known() {
    let refused = Dlc::new().run(&["completions", "tcsh"]).await;
    assert_eq!(refused.code, 64);
    assert!(refused.stderr.contains("bash, zsh, fish"), "{refused:?}");
}

#[tokio::test]
async fn every_command_has_a_page_that_the_formatter_takes_without_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("man1");
    let written = Dlc::new().run(&["man", place.to_str().unwrap()]).await;
    assert_eq!(written.code, 0, "{written:?}");
    let mut names: Vec<String> = std::fs::read_dir(&place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in [
        "dlc.1",
        "dlc-migrate-plan.1",
        "dlc-db-check.1",
        "dlc-user-create.1",
        "dlc-man.1",
    ] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    assert!(
        written.stdout.starts_with(&format!("{} pages", names.len())),
        "{written:?}"
    );
    for name in &names {
        let formatted = Command::new("groff")
            // Without bold and underlined letters.
            .args(["-man", "-ww", "-Tutf8", "-P-cbou"])
            .arg(place.join(name))
            .output()
            .expect("scripts/test installs groff");
        assert_eq!(String::from_utf8_lossy(&formatted.stderr), "", "{name}");
        let text = said(&formatted);
        let command = name.trim_end_matches(".1");
        assert!(text.contains("SYNOPSIS") && text.contains(command), "{name}: {text}");
    }
    let alone = Dlc::new().run(&["man"]).await.stdout;
    assert_eq!(alone, std::fs::read_to_string(place.join("dlc.1")).unwrap());
}

#[tokio::test]
async fn pages_that_cannot_be_written_are_told_of() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let place = file.path().join("man1");
    let refused = Dlc::new().run(&["man", place.to_str().unwrap()]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("cannot write"), "{refused:?}");
}
