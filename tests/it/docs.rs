//! What the documents say is what the program does.

#[test]
fn every_variable_of_the_compose_files_is_documented() {
    use dlc::config::template::COMPOSE_VARIABLES;
    let mut used = std::collections::BTreeSet::new();
    for file in [
        "docker-compose.yml",
        "docker-compose.prod.yml",
        "docker-compose.sqlite.yml",
    ] {
        let text = std::fs::read_to_string(format!("{}/deployments/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            // `$${X}` is for the container's shell, `${X}` for Compose.
            for rest in line.replace("$$", "").split("${").skip(1) {
                let name = rest
                    .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .next()
                    .unwrap();
                used.insert(name.to_owned());
            }
        }
    }
    let documented = COMPOSE_VARIABLES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(used, documented);
}
