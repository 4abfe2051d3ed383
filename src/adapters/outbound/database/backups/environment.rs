//! Where a server is and who somebody is there, as libpq's programs are told of it: in variables, because the process list shows
//! arguments. Not here: what is run with them (`running`).

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use dlc_application::ports::{backups::BackupError, connection::ConnectFailure};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgSslMode;
use tokio::process::Command;

use super::{
    files,
    programs::{Program, ProgramPlaces},
};
use crate::{error, url::DatabaseUrl};

/// libpq takes the word `system` for a file of authorities since this version.
const KNOWS_SYSTEM: u32 = 16;

/// What somebody else's environment might say of another server.
const NONE_OF_THESE: [&str; 5] = [
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGHOSTADDR",
    "PGREQUIRESSL",
    "PGTARGETSESSIONATTRS",
];

/// The environment of a program; good for as long as this lives.
pub(super) struct Environment {
    unset: Vec<OsString>,
    set: Vec<(&'static str, OsString)>,
    /// The password, if the URL has one: a program without it finds its own, as everywhere (`PGPASSWORD`, `~/.pgpass`).
    pub(super) password: Option<SecretString>,
    /// Where the program reads it.
    _file: Option<PasswordFile>,
}

impl Environment {
    /// For a program that talks to the server of this URL.
    pub(super) fn of(places: &ProgramPlaces, url: &DatabaseUrl, program: &Program) -> Result<Self, BackupError> {
        let mut environment = Self {
            unset: places.hidden.iter().map(OsString::from).collect(),
            set: Vec::new(),
            password: url.password(),
            _file: None,
        };
        environment.unset.extend(NONE_OF_THESE.map(OsString::from));
        environment.place(places, url, program)?;
        let Some(password) = environment.password.clone() else {
            return Ok(environment);
        };
        environment.unset.push("PGPASSWORD".into());
        if cfg!(not(target_os = "linux")) || password.expose_secret().contains(['\n', '\r']) {
            // What cannot stand in such a file, or where there is none.
            environment.set.push(("PGPASSWORD", password.expose_secret().into()));
        } else {
            let file = PasswordFile::write(&password)
                .map_err(|e| files::failed("cannot hand over the password by", Path::new("memory"), &e))?;
            environment.set.push(("PGPASSFILE", file.path()));
            environment._file = Some(file);
        }
        Ok(environment)
    }

    fn place(&mut self, places: &ProgramPlaces, url: &DatabaseUrl, program: &Program) -> Result<(), BackupError> {
        let Some(options) = url.postgres_options() else {
            return Ok(());
        };
        let mode = match options.get_ssl_mode() {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        };
        let host = options
            .get_socket()
            .map_or_else(|| options.get_host().into(), |socket| socket.clone().into_os_string());
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        self.set.extend([
            ("PGHOST", host),
            ("PGPORT", options.get_port().to_string().into()),
            ("PGUSER", options.get_username().into()),
            ("PGDATABASE", database.into()),
            ("PGSSLMODE", mode.into()),
            ("PGAPPNAME", "dlc db".into()),
            ("PGCONNECT_TIMEOUT", "10".into()),
            // Its words are read here.
            ("LC_ALL", "C".into()),
        ]);
        match options.get_options() {
            Some(options) => self.set.push(("PGOPTIONS", options.into())),
            None => self.unset.push("PGOPTIONS".into()),
        }
        let mut root = None;
        for (parameter, path) in url.certificate_files() {
            match parameter.as_str() {
                "sslcert" | "ssl-cert" => self.set.push(("PGSSLCERT", path.into())),
                "sslkey" | "ssl-key" => self.set.push(("PGSSLKEY", path.into())),
                _ => root = Some(path.into_os_string()),
            }
        }
        if root.is_none() && mode.starts_with("verify-") {
            // libpq would look for a file of its own (~/.postgresql/root.crt) and go no further, where dlc itself trusts the
            // authorities that everybody trusts.
            let known = authorities(&places.authorities, mode, program.major());
            root = Some(known.ok_or_else(|| {
                let cause = format!(
                    "{} needs a file of the authorities that it trusts for sslmode={mode}, and this system has none",
                    program.name
                );
                error::failed(ConnectFailure::Tls, cause, url)
            })?);
        }
        self.set.extend(root.map(|root| ("PGSSLROOTCERT", root)));
        Ok(())
    }

    /// Gives it to a program.
    pub(super) fn give(&self, command: &mut Command) {
        for name in &self.unset {
            command.env_remove(name);
        }
        for (name, value) in &self.set {
            command.env(name, value);
        }
    }
}

/// The authorities that a program is to trust where nobody named any: a file, or the word that newer ones know.
fn authorities(places: &[PathBuf], mode: &str, major: u32) -> Option<OsString> {
    let file = places.iter().find(|path| path.is_file());
    let word = || (mode == "verify-full" && major >= KNOWS_SYSTEM).then(|| "system".into());
    file.map(|path| path.clone().into_os_string()).or_else(word)
}

/// A password for one program, in libpq's form. It lies in memory and has no name that anybody else could open: whoever is killed
/// leaves nothing behind.
#[cfg(target_os = "linux")]
struct PasswordFile(std::fs::File);

#[cfg(target_os = "linux")]
impl PasswordFile {
    fn write(password: &SecretString) -> io::Result<Self> {
        use std::{io::Write, os::unix::fs::PermissionsExt};
        // Not closed for the program that is run: it is the program's to read.
        let memory = rustix::fs::memfd_create("dlc-password", rustix::fs::MemfdFlags::empty())?;
        let mut file = std::fs::File::from(memory);
        // libpq reads none that others could.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        let password = password.expose_secret().replace('\\', "\\\\").replace(':', "\\:");
        writeln!(file, "*:*:*:*:{password}")?;
        Ok(Self(file))
    }

    fn path(&self) -> OsString {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// Elsewhere there is no such memory, and this is never made.
#[cfg(not(target_os = "linux"))]
struct PasswordFile;

#[cfg(not(target_os = "linux"))]
impl PasswordFile {
    fn write(_: &SecretString) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn path(&self) -> OsString {
        OsString::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_nobody_named_are_those_of_the_system() {
        let there = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let nowhere = PathBuf::from("/nowhere/ca.crt");
        let both = [nowhere.clone(), there.clone()];
        assert_eq!(authorities(&both, "verify-ca", 15), Some(there.into_os_string()));
        // The word is good for the one mode, and for programs that know it.
        assert_eq!(authorities(&[nowhere], "verify-full", 16), Some("system".into()));
        assert_eq!(authorities(&[], "verify-full", 15), None);
        assert_eq!(authorities(&[], "verify-ca", 18), None);
    }
}
