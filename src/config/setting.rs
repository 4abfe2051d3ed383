//! One setting: how its text is read, shown and documented, and the `section!` macro that states it once.

use std::{fmt::Display, net::IpAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;

use super::Profile;

/// A group of settings.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Its name, the first part of its settings' keys: `server`, or `server.tls` for a section inside of another.
    pub name: &'static str,
    /// What it is about.
    pub doc: &'static [&'static str],
    /// Its settings.
    pub settings: &'static [Setting],
}

/// What is known of a setting without reading any source.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// `section.name`
    pub key: &'static str,
    /// What it does, one line each.
    pub doc: &'static [&'static str],
    /// What a value looks like.
    pub expected: &'static str,
    /// Other variables that set it, the stronger first.
    pub aliases: &'static [&'static str],
    /// Whether its value is masked.
    pub secret: bool,
    /// Whether any text is a value.
    pub text: bool,
    /// Whether a text is a value.
    pub accepts: fn(&str) -> bool,
    /// Its default in a profile, in words; `None` when it is unset.
    pub default: fn(Profile) -> Option<String>,
}

impl Setting {
    /// Its own variable: `DLC_SECTION__NAME`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("DLC_{}", self.key.replace('.', "__").to_ascii_uppercase())
    }
}

/// A type that a setting can have.
pub(crate) trait SettingValue: Sized {
    /// What a value looks like, for error messages.
    const EXPECTED: &'static str;
    /// Whether a value is masked wherever it is shown.
    const SECRET: bool = false;
    /// Whether any text is a value, so that a YAML number must be quoted to be taken as it was written.
    const TEXT: bool = false;
    /// Reads a value.
    fn parse(text: &str) -> Option<Self>;
    /// Shows a value; `None` when it is unset.
    fn show(&self) -> Option<String>;
}

macro_rules! plain_setting_value {
    ($($type:ty => $expected:literal),+ $(,)?) => {$(
        impl SettingValue for $type {
            const EXPECTED: &'static str = $expected;
            fn parse(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }
            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+};
}

plain_setting_value! {
    u16 => "a number from 0 to 65535",
    u32 => "a whole number",
    bool => "true or false",
    IpAddr => "an IP address",
}

impl SettingValue for String {
    const EXPECTED: &'static str = "a text";
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl SettingValue for Duration {
    const EXPECTED: &'static str = "a duration such as 500ms, 30s or 5m";

    fn parse(text: &str) -> Option<Self> {
        humantime::parse_duration(text.trim()).ok()
    }

    fn show(&self) -> Option<String> {
        Some(humantime::format_duration(*self).to_string())
    }
}

impl SettingValue for Option<String> {
    const EXPECTED: &'static str = "a text";
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(Some(text.to_owned()))
    }

    fn show(&self) -> Option<String> {
        self.clone()
    }
}

impl SettingValue for Option<PathBuf> {
    const EXPECTED: &'static str = "a path";
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(Some(PathBuf::from(text)))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|path| path.display().to_string())
    }
}

impl SettingValue for Option<u16> {
    const EXPECTED: &'static str = <u16 as SettingValue>::EXPECTED;

    fn parse(text: &str) -> Option<Self> {
        u16::parse(text).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.map(|number| number.to_string())
    }
}

impl SettingValue for Option<SecretString> {
    const EXPECTED: &'static str = "a secret";
    const SECRET: bool = true;
    const TEXT: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(Some(SecretString::from(text)))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|_| "[redacted]".to_owned())
    }
}

/// Implements [`SettingValue`] for an enum of words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident: $expected:literal { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $doc])+ $variant),+ }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl $crate::config::setting::SettingValue for $name {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                match text.trim().to_ascii_lowercase().as_str() { $($word => Some(Self::$variant),)+ _ => None }
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    };
}

/// States a section: the struct, its defaults (a function of the profile), its documentation and its reader, in one place.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $name:ident = $section:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $key:literal $([$($alias:literal),+])?, $default:expr;
            )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug)]
        pub struct $name { $($(#[doc = $doc])+ pub $field: $type),+ }

        impl $name {
            /// What is known of this section without reading any source.
            pub const SECTION: $crate::config::Section = $crate::config::Section {
                name: $section,
                doc: &[$($section_doc),+],
                settings: &[$($crate::config::Setting {
                    key: concat!($section, ".", $key),
                    doc: &[$($doc),+],
                    expected: <$type as $crate::config::setting::SettingValue>::EXPECTED,
                    aliases: &[$($($alias),+)?],
                    secret: <$type as $crate::config::setting::SettingValue>::SECRET,
                    text: <$type as $crate::config::setting::SettingValue>::TEXT,
                    accepts: |text| <$type as $crate::config::setting::SettingValue>::parse(text).is_some(),
                    default: |profile| {
                        let default: fn($crate::config::Profile) -> $type = $default;
                        $crate::config::setting::SettingValue::show(&default(profile))
                    },
                }),+],
            };

            pub(super) fn read(reader: &mut $crate::config::reader::Reader<'_>) -> Self {
                Self { $($field: reader.get(concat!($section, ".", $key), $default)),+ }
            }
        }
    };
}

pub(super) use {section, words};

/// The known name that a misspelt one probably means.
pub(super) fn nearest<'a, T: AsRef<str> + ?Sized + Display + 'a>(
    name: &str,
    known: impl Iterator<Item = &'a T>,
) -> Option<String> {
    known
        .map(|candidate| {
            (
                strsim::normalized_damerau_levenshtein(name, candidate.as_ref()),
                candidate,
            )
        })
        .filter(|(similarity, _)| *similarity > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_string())
}
