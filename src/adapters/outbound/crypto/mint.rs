//! Secrets of the operating system's randomness.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use dlc_application::ports::tokens::{Digest, Mint, Minted};
use dlc_domain::sessions::SessionId;
use secrecy::SecretString;

use super::sha256;

/// What a refresh token begins with, so that programs that look for leaked secrets find it.
const REFRESH_TOKEN_PREFIX: &str = "dlc_rt_";

/// Crockford's digits: none looks like another, whichever case it is written in.
const CODE_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How many of them stand together; 26 of them are 130 bits.
const CODE_GROUPS: [usize; 6] = [5, 4, 4, 4, 4, 5];

/// Letters, then digits, without those that look like others. They stand for themselves in a URL, a shell and a YAML file.
const PASSWORD_ALPHABET: &[u8; 57] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
const PASSWORD_LETTERS: usize = 49;

/// So many of them are 186 bits.
const PASSWORD_CHARS: usize = 32;

/// [`Mint`] of the operating system's randomness.
#[derive(Clone, Copy, Debug)]
pub struct OsMint(());

/// The operating system has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("no randomness to be had: {0}")]
pub struct NoRandomness(#[source] getrandom::Error);

impl OsMint {
    /// Makes sure that there is randomness. From then on there always is: what could be missing (the system call, its entropy at
    /// boot) does not go away again.
    ///
    /// # Errors
    /// When there is none.
    pub fn new() -> Result<Self, NoRandomness> {
        getrandom::fill(&mut [0; 32]).map_err(NoRandomness)?;
        Ok(Self(()))
    }

    /// A secret to sign access tokens with: 43 characters, 256 bits.
    #[must_use]
    pub fn signing_secret(&self) -> SecretString {
        SecretString::from(BASE64.encode(random::<32>()))
    }
}

impl Mint for OsMint {
    fn refresh_token(&self) -> Minted {
        let secret = format!("{REFRESH_TOKEN_PREFIX}{}", BASE64.encode(random::<32>()));
        Minted {
            digest: self.digest_of_token(&secret),
            secret: SecretString::from(secret),
        }
    }

    fn reset_code(&self) -> Minted {
        // Five bits of each byte: 32 divides 256, so each digit is as likely as the others.
        let random = random::<26>();
        let mut digits = random
            .iter()
            .map(|byte| char::from(CODE_DIGITS[usize::from(byte % 32)]));
        let groups = CODE_GROUPS.map(|length| digits.by_ref().take(length).collect::<String>());
        let secret = groups.join("-");
        Minted {
            digest: self.digest_of_code(&secret),
            secret: SecretString::from(secret),
        }
    }

    fn password(&self) -> SecretString {
        // The first character is a letter, so that no program takes the password for an option or a number.
        let mut password = String::with_capacity(PASSWORD_CHARS);
        while password.len() < PASSWORD_CHARS {
            let wanted = if password.is_empty() {
                PASSWORD_LETTERS
            } else {
                PASSWORD_ALPHABET.len()
            };
            let wanted = &PASSWORD_ALPHABET[..wanted];
            let drawn = random::<PASSWORD_CHARS>().into_iter().map(usize::from);
            // What is left over at the top of a byte would make the first characters likelier.
            let fair = drawn.filter(|byte| *byte < 256 - 256 % wanted.len());
            let room = if password.is_empty() {
                1
            } else {
                PASSWORD_CHARS - password.len()
            };
            password.extend(fair.take(room).map(|byte| char::from(wanted[byte % wanted.len()])));
        }
        SecretString::from(password)
    }

    fn session_id(&self) -> SessionId {
        SessionId(random::<16>().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn digest_of_token(&self, presented: &str) -> Digest {
        Digest(sha256(presented.as_bytes()))
    }

    fn digest_of_code(&self, presented: &str) -> Digest {
        let is_dash = |c: char| matches!(c, '-' | '_' | '\u{2010}'..='\u{2015}' | '\u{2212}');
        let digits: String = presented
            .chars()
            .filter(|c| !c.is_whitespace() && !is_dash(*c))
            .map(|c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                digit => digit,
            })
            .collect();
        Digest(sha256(digits.as_bytes()))
    }
}

/// Random bytes. Without any the process ends: a secret that can be guessed is worse than no service, and nobody who asks for one
/// could do anything about it.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(%error, "no randomness to be had any more; the process ends");
        std::process::abort();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::adapters::outbound::crypto::dice::Dice;

    fn mint() -> OsMint {
        OsMint::new().unwrap()
    }

    #[test]
    fn a_refresh_token_can_be_recognized_and_its_digest_is_of_all_of_it() {
        let minted = mint().refresh_token();
        let secret = minted.secret.expose_secret();
        let rest = secret.strip_prefix("dlc_rt_").unwrap();
        assert_eq!(BASE64.decode(rest).unwrap().len(), 32);
        assert_eq!(mint().digest_of_token(secret), minted.digest);
        assert_ne!(mint().digest_of_token(rest), minted.digest);
        assert_ne!(mint().digest_of_token(&secret.to_lowercase()), minted.digest);
    }

    #[test]
    fn a_code_can_be_read_out_and_typed() {
        let minted = mint().reset_code();
        let code = minted.secret.expose_secret();
        let groups: Vec<usize> = code.split('-').map(str::len).collect();
        assert_eq!(groups, CODE_GROUPS, "{code}");
        let typed = [
            code.to_lowercase(),
            code.replace('-', " "),
            code.replace('-', "\u{2013}"),
            code.replace('-', ""),
            format!(" {}\n", code.replace('0', "o").replace('1', "l")),
            code.replace('0', "O").replace('1', "I").replace('-', " - "),
        ];
        for typed in typed {
            assert_eq!(mint().digest_of_code(&typed), minted.digest, "{typed:?}");
        }
        let mut dice = Dice::new(11);
        let digits = |text: &str| text.replace(['-', '_', ' ', '\n'], "").to_uppercase().replace('O', "0");
        let digits = |text: &str| digits(text).replace(['I', 'L'], "1");
        for _ in 0..5_000 {
            let mutated = dice.mutate(code);
            let is_the_same = mint().digest_of_code(&mutated) == minted.digest;
            assert_eq!(is_the_same, digits(&mutated) == digits(code), "{mutated:?}");
        }
    }

    #[test]
    fn a_password_is_long_and_made_of_characters_that_nobody_mistakes() {
        for _ in 0..1_000 {
            let password = mint().password();
            let password = password.expose_secret();
            assert_eq!(password.len(), PASSWORD_CHARS);
            assert!(password.bytes().all(|c| PASSWORD_ALPHABET.contains(&c)), "{password}");
            assert!(password.starts_with(|c: char| c.is_ascii_alphabetic()), "{password}");
            assert!(!password.contains(['0', 'O', '1', 'l', 'I']), "{password}");
        }
    }

    #[test]
    fn every_character_is_as_likely_as_the_others() {
        let mut counts = [0_u32; 256];
        for _ in 0..20_000 {
            mint()
                .password()
                .expose_secret()
                .bytes()
                .skip(1)
                .for_each(|c| counts[usize::from(c)] += 1);
        }
        // 620,000 draws of 57: 10,877 each, and six standard deviations are 620. A byte modulo 57 would give some 9,687.
        for c in PASSWORD_ALPHABET {
            let count = counts[usize::from(*c)];
            assert!((10_257..=11_497).contains(&count), "{}: {count}", char::from(*c));
        }
    }

    #[test]
    fn nothing_is_minted_twice() {
        let mint = mint();
        let mut seen = HashSet::new();
        for _ in 0..100 {
            assert!(seen.insert(mint.refresh_token().secret.expose_secret().to_owned()));
            assert!(seen.insert(mint.reset_code().secret.expose_secret().to_owned()));
            assert!(seen.insert(mint.password().expose_secret().to_owned()));
            assert!(seen.insert(mint.signing_secret().expose_secret().to_owned()));
            let session = mint.session_id().0;
            assert!(session.len() == 32 && session.bytes().all(|c| c.is_ascii_hexdigit()));
            assert!(seen.insert(session));
        }
    }
}
