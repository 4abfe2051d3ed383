//! `dlc db check`: what the certificate of a real server with TLS is worth. Each is put in the place of the last one.

use std::time::{Duration, Instant};

use rcgen::KeyPair;

use crate::{
    cli_db_check::{assert_status, finding},
    harness::{
        Dlc, Finished,
        certificates::{Authority, Made, params},
        postgres::Cluster,
    },
};

/// Gives the server another certificate, and waits until it shows that one.
async fn install(cluster: &Cluster, subject: &str, made: &Made) {
    let directory = cluster.authority.as_ref().unwrap().parent().unwrap().display();
    for (name, text) in [("server.crt", &made.certificate), ("server.key", &made.key)] {
        let lines = format!("SELECT unnest(string_to_array('{}', E'\n'))", text.trim_end());
        let copy = format!("COPY ({lines}) TO '{directory}/{name}'");
        cluster.execute("postgres", &copy).await;
    }
    cluster.execute("postgres", "SELECT pg_reload_conf()").await;
    let started = Instant::now();
    loop {
        let shown = on(cluster, "localhost", "require", None).await;
        if measured(&shown).contains(subject) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{shown:?}");
    }
}

async fn on(cluster: &Cluster, host: &str, mode: &str, authority: Option<&str>) -> Finished {
    let mut dlc = Dlc::new();
    let mut url = cluster.url("postgres").replace("@127.0.0.1:", &format!("@{host}:"));
    url.push_str(&format!("?sslmode={mode}"));
    if let Some(pem) = authority {
        dlc = dlc.file("authority.crt", pem);
        url.push_str(&format!(
            "&sslrootcert={}",
            dlc.directory().join("authority.crt").display()
        ));
    }
    dlc.env("DATABASE_URL", &url)
        .run(&["db", "check", "--only", "NET003", "--format", "json"])
        .await
}

fn measured(checked: &Finished) -> String {
    finding(&checked.json(), "NET003")["measured"].to_string()
}

fn judged(checked: &Finished, status: &str, measured: &str, hint: &str) {
    assert_status(checked, "NET003", status);
    let report = checked.json();
    let found = finding(&report, "NET003");
    assert!(found["measured"].as_str().unwrap().contains(measured), "{found}");
    let said = found["hint"].as_str().unwrap_or_default();
    assert!(said.contains(hint) && said.is_empty() == hint.is_empty(), "{found}");
    assert_eq!(checked.code, if status == "fail" { 69 } else { 0 });
}

#[tokio::test]
async fn a_certificate_is_judged_by_its_time_its_name_and_its_signer() {
    let authority = Authority::new();
    let cluster = Cluster::own("").await;
    let trusted = Some(authority.pem.as_str());

    let good = authority.sign(&params("good", &["localhost", "good"], -1, 60));
    install(&cluster, "good", &good).await;
    let verified = on(&cluster, "localhost", "verify-full", trusted).await;
    judged(
        &verified,
        "ok",
        "TLSv1.3; for localhost, good, signed by CN=an-authority, ",
        "",
    );
    judged(
        &on(&cluster, "127.0.0.1", "verify-full", trusted).await,
        "fail",
        "not valid for name",
        "use the name that it is for (localhost, good), or ?sslmode=verify-ca",
    );
    judged(
        &on(&cluster, "localhost", "verify-full", None).await,
        "fail",
        "UnknownIssuer",
        "name the certificate of CN=an-authority in ?sslrootcert=",
    );

    let soon = authority.sign(&params("soon", &["localhost", "soon"], -1, 13));
    install(&cluster, "soon", &soon).await;
    judged(
        &on(&cluster, "localhost", "verify-full", trusted).await,
        "warn",
        "for localhost, soon, signed by CN=an-authority, 1",
        "renew the server's certificate",
    );

    let expired = authority.sign(&params("expired", &["localhost", "expired"], -9, -3));
    install(&cluster, "expired", &expired).await;
    judged(
        &on(&cluster, "localhost", "verify-full", trusted).await,
        "fail",
        "ran out 3 d ago",
        "renew the server's certificate",
    );
    // Whoever does not verify gets in, and hears of it all the same.
    judged(
        &on(&cluster, "localhost", "require", None).await,
        "warn",
        "ran out 3 d ago",
        "renew the server's certificate",
    );

    let key = KeyPair::generate().unwrap();
    let itself = params("itself", &["localhost", "itself"], -1, 60);
    let itself = Made {
        certificate: itself.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    };
    install(&cluster, "itself", &itself).await;
    judged(
        &on(&cluster, "localhost", "verify-full", None).await,
        "fail",
        "signed by itself",
        "name a copy of it in ?sslrootcert=",
    );
}
