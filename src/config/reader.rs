//! Takes settings out of the layers, and collects what is wrong with them.

use secrecy::ExposeSecret;

use super::{ConfigError, Profile, Provenance, layers::Layers, setting::SettingValue};

/// Takes values out of the layers and collects what is wrong with them.
pub(crate) struct Reader<'a> {
    layers: &'a Layers,
    profile: Profile,
    provenance: Vec<Provenance>,
    errors: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers, profile: Profile) -> Self {
        Self {
            layers,
            profile,
            provenance: Vec::new(),
            errors: Vec::new(),
        }
    }

    pub(super) fn get<T: SettingValue>(&mut self, key: &'static str, default: fn(Profile) -> T) -> T {
        let (value, source) = match self.layers.find(key) {
            None => (default(self.profile), format!("default ({})", self.profile)),
            Some(found) => match T::parse(found.text.expose_secret()) {
                Some(value) => (value, found.source),
                None => {
                    let given = found.text.expose_secret();
                    // A private key in the place of its path must not be repeated, nor a URL with a user: it may hold a password.
                    let text = if T::SECRET || given.contains("-----BEGIN") || given.contains('@') {
                        String::new()
                    } else {
                        format!(", not {given:?}")
                    };
                    self.errors
                        .push(format!("{key} from {}: expected {}{text}", found.source, T::EXPECTED));
                    (default(self.profile), found.source)
                }
            },
        };
        self.provenance.push(Provenance {
            key,
            value: value.show(),
            source,
        });
        value
    }

    pub(super) fn finish(self) -> Result<Vec<Provenance>, ConfigError> {
        if self.errors.is_empty() {
            Ok(self.provenance)
        } else {
            Err(ConfigError::Invalid(self.errors))
        }
    }
}
