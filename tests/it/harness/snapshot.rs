//! Files in the repository that the program makes: compared, or written anew with `DLC_UPDATE_SNAPSHOTS=1`.

use std::path::Path;

/// Asserts that a file of the repository is what the program makes of it.
pub fn assert_file(path: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("DLC_UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "{} is not what the program makes; `just snapshots` writes it anew\n--- kept\n{kept}\n--- made\n{made}",
        path.display()
    );
}
