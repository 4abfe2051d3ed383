//! The layers, merged by figment, each value with the name of the source that it came from.
//!
//! Every variable is a provider of its own, and its text stays text: figment's own environment provider re-types values
//! (`0123` becomes 123) and repeats them, passwords included, when they do not fit.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Provider,
    providers::{Format, Yaml},
    value::{Dict, Map, Value},
};
use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, Profile, setting::nearest, settings};

/// Where settings may come from; whoever calls has read the environment and the command line.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The environment; a value need not be UTF-8.
    pub environment: BTreeMap<String, OsString>,
    /// Settings given as flags.
    pub flags: Vec<Flag>,
    /// A file given by `--config` or `DLC_CONFIG`; it must exist, and replaces both files of the directory.
    pub file: Option<PathBuf>,
    /// A profile given by `--profile`.
    pub profile: Option<Profile>,
    /// Where `default.yaml` and `<profile>.yaml` are looked for.
    pub directory: PathBuf,
    /// Read this section alone: whoever needs no secret must not depend on one.
    pub only: Option<&'static str>,
}

/// A setting given as a flag.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag, as typed: `--port`.
    pub name: &'static str,
    /// The setting.
    pub key: &'static str,
    /// Its value.
    pub value: String,
}

/// A value and its source.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) text: SecretString,
    pub(super) source: String,
}

/// All layers, merged.
#[derive(Debug)]
pub(super) struct Layers {
    figment: Figment,
    /// Names of the sources, the weakest first.
    order: Vec<String>,
    /// Variables and flags that gave a value, the weakest first, with what they gave.
    given: Vec<(String, String, SecretString)>,
    profile: Profile,
    unknown: Vec<String>,
    secret_files: Vec<String>,
    only: Option<&'static str>,
}

/// `DLC_…` variables that are no settings: they decide about the sources themselves, or belong to Compose and the tests.
const OTHER_VARIABLES: &[&str] = &["DLC_PROFILE", "DLC_CONFIG", "DLC_HTTP_PORT", "DLC_HTTP_BIND"];
const OTHER_PREFIXES: &[&str] = &["DLC_TEST_"];

/// Whether a variable is meant for other programs, too, which read it in more ways than dlc does: what dlc cannot use must not
/// stop it.
fn of_others(name: &str) -> bool {
    name == "RUST_LOG" || name.starts_with("OTEL_")
}

impl Layers {
    pub(super) fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let profile = profile(sources)?;
        let mut layers = Self {
            figment: Figment::new(),
            order: Vec::new(),
            given: Vec::new(),
            profile,
            unknown: Vec::new(),
            secret_files: Vec::new(),
            only: sources.only,
        };
        layers.files(sources)?;
        layers.variables(sources)?;
        for flag in &sources.flags {
            layers.give(flag.key, &flag.value, flag.name.to_owned());
        }
        Ok(layers)
    }

    pub(super) fn profile(&self) -> Profile {
        self.profile
    }

    pub(super) fn unknown(&self) -> Vec<String> {
        self.unknown.clone()
    }

    pub(super) fn secret_files(&self) -> &[String] {
        &self.secret_files
    }

    /// The strongest value of a setting. Empty is unset.
    pub(super) fn find(&self, key: &str) -> Option<Found> {
        let value = self.figment.find_value(key).ok()?;
        let source = self.figment.get_metadata(value.tag()).map(source_name)?;
        let text = scalar(&value)?;
        (!text.is_empty()).then(|| Found {
            text: SecretString::from(text),
            source,
        })
    }

    /// How strong a setting's source is: greater is stronger. `None` when it is unset.
    pub(super) fn rank(&self, key: &str) -> Option<usize> {
        let found = self.find(key)?;
        self.order.iter().position(|name| *name == found.source)
    }

    fn files(&mut self, sources: &Sources) -> Result<(), ConfigError> {
        let paths = match &sources.file {
            Some(path) => vec![path.clone()],
            None => {
                let named = [format!("{}.yaml", self.profile), "default.yaml".to_owned()];
                named
                    .iter()
                    .rev()
                    .map(|name| sources.directory.join(name))
                    .filter(|path| is_there(path))
                    .collect()
            }
        };
        for path in paths {
            let shown = path.display().to_string();
            let text = fs::read_to_string(&path).map_err(|e| {
                ConfigError::Invalid(vec![format!(
                    "the configuration file {shown} cannot be read: {}",
                    words(&e)
                )])
            })?;
            let data = Yaml::string(&text).data().map_err(|e| {
                ConfigError::Invalid(vec![format!("the configuration file {shown} {}", yaml_words(&e.kind))])
            })?;
            let mut entries = Vec::new();
            for dict in data.into_values() {
                flatten("", dict, &mut entries);
            }
            for (key, value) in entries {
                self.entry(&key, &value, &shown)?;
            }
        }
        Ok(())
    }

    fn wants(&self, key: &str) -> bool {
        self.only.is_none_or(|section| key.split('.').next() == Some(section))
    }

    fn entry(&mut self, key: &str, value: &Value, file: &str) -> Result<(), ConfigError> {
        if !self.wants(key) {
            return Ok(());
        }
        let text = &scalar(value).unwrap_or_default();
        if let Some(setting) = settings().find(|setting| setting.key == key) {
            if setting.text && matches!(value, Value::Num(..) | Value::Bool(..)) {
                let why =
                    format!("{key} in {file} is not a text: put it in quotes, so that it is taken as it is written");
                return Err(ConfigError::Invalid(vec![why]));
            }
            self.add(key, text, file.to_owned());
        } else if let Some(setting) = settings().find(|setting| Some(setting.key) == key.strip_suffix("_file")) {
            let secret = self.secret(text, key)?;
            self.add(setting.key, &secret, format!("{text} (by {key} in {file})"));
        } else {
            let hint =
                nearest(key, settings().map(|setting| setting.key)).map(|name| format!("; did you mean {name}?"));
            self.unknown.push(format!(
                "{file}: the key {key} is not known{}",
                hint.unwrap_or_default()
            ));
        }
        Ok(())
    }

    fn variables(&mut self, sources: &Sources) -> Result<(), ConfigError> {
        // The weakest first: DB_* and other known names, then DATABASE_URL, then DLC_*.
        let mut names: Vec<(&'static str, String)> = Vec::new();
        let aliases = settings().flat_map(|s| s.aliases.iter().rev().map(|alias| (s.key, (*alias).to_owned())));
        let (urls, others): (Vec<_>, Vec<_>) = aliases.partition(|(_, name)| name == "DATABASE_URL");
        names.extend(others);
        names.extend(urls);
        names.extend(settings().map(|setting| (setting.key, setting.variable())));
        for (key, name) in &names {
            if !self.wants(key) {
                continue;
            }
            let file_name = format!("{name}_FILE");
            if let Some(path) = variable(sources, &file_name)? {
                let text = self.secret(path, &file_name)?;
                self.give(key, &text, file_name);
            }
            if let Some(text) = variable(sources, name)? {
                let setting = settings().find(|setting| setting.key == *key);
                let is_fit = setting.is_some_and(|setting| (setting.accepts)(text));
                if is_fit || !of_others(name) {
                    self.give(key, text, name.clone());
                } else if let Some(setting) = setting {
                    let expected = setting.expected;
                    self.unknown
                        .push(format!("the variable {name} is not used here: {key} is {expected}"));
                }
            }
        }
        for name in sources.environment.keys().filter(|name| name.starts_with("DLC_")) {
            let bare = name.strip_suffix("_FILE").unwrap_or(name);
            let known = names.iter().any(|(_, known)| known == name || known == bare)
                || OTHER_VARIABLES.contains(&name.as_str())
                || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            if !known {
                let hint =
                    nearest(name, names.iter().map(|(_, known)| known)).map(|near| format!("; did you mean {near}?"));
                self.unknown
                    .push(format!("the variable {name} is not known{}", hint.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn secret(&mut self, path: &str, by: &str) -> Result<String, ConfigError> {
        self.secret_files.push(path.to_owned());
        let text = fs::read_to_string(path).map_err(|e| ConfigError::SecretFile {
            path: path.to_owned(),
            named_by: by.to_owned(),
            cause: words(&e),
        })?;
        let text = text.trim_end_matches(['\r', '\n']);
        // Whoever names a file means what is to be in it: without that, another database would be taken, or no password.
        if text.is_empty() {
            return Err(ConfigError::SecretFile {
                path: path.to_owned(),
                named_by: by.to_owned(),
                cause: "it is empty".to_owned(),
            });
        }
        Ok(text.to_owned())
    }

    /// Adds a value of a variable or a flag: of these it is remembered who gave what.
    fn give(&mut self, key: &str, text: &str, source: String) {
        self.given
            .push((key.to_owned(), source.clone(), SecretString::from(text)));
        self.add(key, text, source);
    }

    /// Variables and flags that gave a setting a value other than the one in force, the weakest first.
    pub(super) fn overruled(&self, key: &str) -> Vec<&str> {
        let Some(found) = self.find(key) else { return Vec::new() };
        let differs = |text: &SecretString| text.expose_secret() != found.text.expose_secret();
        self.given
            .iter()
            .filter(|(of, _, text)| of == key && differs(text))
            .map(|(_, source, _)| source.as_str())
            .collect()
    }

    fn add(&mut self, key: &str, text: &str, source: String) {
        if text.is_empty() {
            return;
        }
        if !self.order.contains(&source) {
            self.order.push(source.clone());
        }
        let figment = std::mem::take(&mut self.figment);
        self.figment = figment.merge(Single {
            key: key.to_owned(),
            text: text.to_owned(),
            source,
        });
    }
}

fn profile(sources: &Sources) -> Result<Profile, ConfigError> {
    if let Some(profile) = sources.profile {
        return Ok(profile);
    }
    match variable(sources, "DLC_PROFILE")? {
        None => Ok(Profile::default()),
        Some(name) => name
            .parse()
            .map_err(|why| ConfigError::Invalid(vec![format!("DLC_PROFILE: {why}, not {name:?}")])),
    }
}

/// Whether there is something of that name. What may not be looked at, and a link that leads nowhere, is something: to pass it over
/// would be to take another database than the one that it names.
fn is_there(path: &Path) -> bool {
    let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    fs::symlink_metadata(path).map_or_else(|e| !missing.contains(&e.kind()), |_| true)
}

fn source_name(metadata: &Metadata) -> String {
    metadata.name.to_string()
}

/// A variable's text. Empty is unset; what is no text must not be taken for unset, or another database would be used.
fn variable<'a>(sources: &'a Sources, name: &str) -> Result<Option<&'a str>, ConfigError> {
    match sources.environment.get(name).map(|value| value.to_str()) {
        None | Some(Some("")) => Ok(None),
        Some(Some(text)) => Ok(Some(text)),
        Some(None) => Err(ConfigError::Invalid(vec![format!(
            "the variable {name} is not valid UTF-8"
        )])),
    }
}

/// What is wrong with a YAML file, without its contents: a file that is no configuration may hold secrets.
fn yaml_words(kind: &figment::error::Kind) -> String {
    match kind {
        figment::error::Kind::Message(text) => {
            let place = text.find(" at line ").map_or("", |at| &text[at..]);
            format!("is not valid YAML{place}")
        }
        _ => "is not a mapping of sections to keys and values".to_owned(),
    }
}

/// An operating system's error without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

fn flatten(prefix: &str, dict: Dict, entries: &mut Vec<(String, Value)>) {
    for (name, value) in dict {
        let key = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Dict(_, inner) => flatten(&key, inner, entries),
            other => entries.push((key, other)),
        }
    }
}

/// A value as the text that a variable would hold; a list with commas.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, truth) => Some(truth.to_string()),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_u128().map(|n| n.to_string()))
            .or_else(|| number.to_f64().map(|n| n.to_string())),
        Value::Array(_, items) => Some(items.iter().filter_map(scalar).collect::<Vec<_>>().join(",")),
        Value::Empty(..) | Value::Dict(..) => None,
    }
}

/// One value of one source.
struct Single {
    key: String,
    text: String,
    source: String,
}

impl Provider for Single {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> figment::error::Result<Map<figment::Profile, Dict>> {
        let value = figment::util::nest(&self.key, Value::from(self.text.clone()));
        Ok(value
            .into_dict()
            .map(|dict| figment::Profile::Default.collect(dict))
            .unwrap_or_default())
    }
}

impl std::fmt::Debug for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {}", self.key, self.source)
    }
}
