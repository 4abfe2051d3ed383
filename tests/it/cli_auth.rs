//! `dlc auth …`, and the settings of signing secrets.

use crate::harness::{Dlc, SECRET};

const OTHER: &str = "gravel-saffron-beacon-willow-thimble";

async fn generated(arguments: &[&str]) -> String {
    let printed = Dlc::new().run(arguments).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""), "{printed:?}");
    printed.stdout
}

#[tokio::test]
async fn a_generated_secret_is_new_each_time_alone_on_its_line_and_good_to_sign_with() {
    let one = generated(&["auth", "gen-secret"]).await;
    let two = generated(&["auth", "gen-secret"]).await;
    assert_ne!(one, two);
    let secret = one.strip_suffix('\n').unwrap();
    assert_eq!(secret.len(), 43, "{secret}");
    assert!(
        secret.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)),
        "{secret}"
    );
    let json = Dlc::new().run(&["auth", "gen-secret", "--format", "json"]).await.json();
    assert_eq!(
        (
            json["schema"].as_u64(),
            json["command"].as_str(),
            json["exit_code"].as_i64()
        ),
        (Some(1), Some("auth gen-secret"), Some(0))
    );
    for secret in [secret, json["secret"].as_str().unwrap()] {
        let strict = Dlc::new()
            .env("DLC_PROFILE", "production")
            .env("DATABASE_URL", "postgres://u@h/d")
            .env("DLC_AUTH__SECRET", secret);
        let checked = strict.run(&["config", "check", "--strict"]).await;
        assert_eq!(checked.code, 0, "{checked:?}");
    }
}

#[tokio::test]
async fn a_secret_that_nobody_would_be_told_is_not_made() {
    for command in [&["auth", "gen-secret"][..], &["config", "gen-password"]] {
        let quiet = Dlc::new().run(&[&["-q"], command].concat()).await;
        assert_eq!((quiet.code, quiet.stdout.as_str()), (64, ""), "{quiet:?}");
        for (device, code) in [("/dev/null", 64), ("/dev/full", 1)] {
            let output = std::fs::OpenOptions::new().write(true).open(device).unwrap();
            let dlc = Dlc::new();
            let ended = dlc.command(command).stdout(output).status().await.unwrap();
            assert_eq!(ended.code(), Some(code), "{command:?} > {device}");
        }
    }
}

#[tokio::test]
async fn a_weak_secret_is_refused_in_every_profile_and_not_repeated() {
    let weak = [
        "cänary",
        "cänary-of-thirty-one-bytes-abc",
        &format!("cä{}", "s".repeat(40)),
        &"abcdefg".repeat(9),
    ];
    for profile in ["development", "test", "staging", "production"] {
        for setting in ["SECRET", "PREVIOUS_SECRET"] {
            for weak in weak {
                let dlc = Dlc::new()
                    .env("DLC_PROFILE", profile)
                    .env(&format!("DLC_AUTH__{setting}"), weak);
                let refused = dlc.run(&["config", "check"]).await;
                let key = setting.to_lowercase();
                refused.assert_error(
                    78,
                    &format!(
                        "auth.{key} from DLC_AUTH__{setting}: expected a secret of 32 bytes or more, at least 8 of them different; \
                         make one: dlc auth gen-secret"
                    ),
                );
                assert!(!refused.stderr.contains(weak), "{refused:?}");
            }
        }
    }
    let just_enough = Dlc::new().env("DLC_AUTH__SECRET", &"abcdefgh".repeat(4));
    assert_eq!(just_enough.run(&["config", "check"]).await.code, 0);
}

#[tokio::test]
async fn the_secret_before_can_be_given_by_a_file_and_must_be_another_one() {
    let rotated = |previous: &str| {
        let dlc = Dlc::new().file("previous", &format!("{previous}\n"));
        let path = dlc.directory().join("previous").display().to_string();
        dlc.env("DLC_AUTH__PREVIOUS_SECRET_FILE", &path)
    };
    let good = rotated(OTHER).env("DLC_AUTH__SECRET", SECRET);
    let checked = good.run(&["config", "check", "--strict"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    let shown = good.run(&["config", "show"]).await;
    assert!(shown.stdout.contains("auth.previous_secret"), "{shown:?}");
    assert!(
        !shown.stdout.contains(OTHER) && !shown.stdout.contains(SECRET),
        "{shown:?}"
    );
    for command in [
        &["config", "check"][..],
        &["serve", "--port", "0"],
        &["migrate", "status"],
    ] {
        let same = rotated(SECRET).env("DLC_AUTH__SECRET", SECRET);
        let refused = same.run(command).await;
        refused.assert_error(78, "auth.previous_secret is the same as auth.secret");
        assert!(!refused.stderr.contains(SECRET), "{refused:?}");
        let alone = rotated(OTHER).run(command).await;
        alone.assert_error(78, "auth.previous_secret is set, but auth.secret is not");
    }
}

#[tokio::test]
async fn the_rules_for_accounts_have_bounds() {
    for (setting, value, words) in [
        ("REGISTRATION", "closed", "expected open, admin or off, not \"closed\""),
        ("PASSWORD_MIN_LENGTH", "7", "expected a number from 8 to 64, not \"7\""),
        (
            "PASSWORD_MIN_LENGTH",
            "65",
            "expected a number from 8 to 64, not \"65\"",
        ),
        ("RATE_LIMIT", "60", "expected requests per time"),
    ] {
        let dlc = Dlc::new().env(&format!("DLC_AUTH__{setting}"), value);
        dlc.run(&["config", "check"]).await.assert_error(78, words);
    }
    let good = Dlc::new()
        .env("DLC_AUTH__REGISTRATION", "Off")
        .env("DLC_AUTH__PASSWORD_MIN_LENGTH", "8")
        .env("DLC_AUTH__RATE_LIMIT", "off");
    assert_eq!(good.run(&["config", "check"]).await.code, 0);
}
