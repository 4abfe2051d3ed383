//! Passwords are hashed with Argon2id, on threads of their own.
//!
//! Not here: which passwords are good enough (`domain::passwords`), who may have another try (`domain::sessions`).

use std::time::Duration;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Ident, Output, ParamsString, PasswordHash as Phc, Salt},
};
use async_trait::async_trait;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use dlc_application::ports::passwords::{HashError, PasswordHash, PasswordHasher, Verification};
use dlc_domain::passwords::Password;
use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;

use super::hashing::{HashingPool, Memory, NotDone, PoolLimits};

/// The effort of today: OWASP's first choice for Argon2id, 19 MiB, two passes, one lane (§5.4).
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// The most that a stored hash may ask for; no library's default asks for more. Hashes are as trustworthy as the database, but one
/// row must not take a gigabyte or a minute.
const MOST_MEMORY_KIB: u32 = 65_536;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

/// Nobody's hash, made like one of today, of no password: whoever asks for a name that nobody has waits as long as for a wrong
/// password.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cW9hSDVyTnVzVGlsM1B4ZQ$9q3mFyDkJm0rWcZ1xLh7bTnQv5sAeGoU2iKpVdXyRwE";

/// A thread that finds nothing to do for so long gives its memory back; after as long again it ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much may be hashed at a time. Each thread takes 19 MiB while it works and a few seconds longer.
#[derive(Clone, Copy, Debug)]
pub struct HashingLimits {
    /// Threads.
    pub threads: usize,
    /// Passwords that wait for one; above it [`HashError::Busy`].
    pub queue: usize,
}

/// [`PasswordHasher`] by Argon2id.
pub struct Argon2Hasher {
    pool: HashingPool,
}

/// What is wrong with a stored hash; its text is not repeated.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("a stored password hash is no PHC string of Argon2")]
    Unreadable,
    #[error(
        "a stored password hash asks for more than {MOST_MEMORY_KIB} KiB, {MOST_PASSES} passes or {MOST_LANES} lanes"
    )]
    Excessive,
}

impl Argon2Hasher {
    /// A hasher without any thread yet.
    #[must_use]
    pub fn new(limits: HashingLimits) -> Self {
        Self {
            pool: HashingPool::new(PoolLimits {
                threads: limits.threads.max(1),
                queue: limits.queue,
                patience: PATIENCE,
            }),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        self.pool.run(work).await.map_err(|error| match error {
            NotDone::Full => HashError::Busy,
            NotDone::NoThread(_) | NotDone::GivenUp => failed(error),
        })?
    }
}

#[async_trait]
impl PasswordHasher for Argon2Hasher {
    async fn hash(&self, password: &Password) -> Result<PasswordHash, HashError> {
        let password = normalized(password);
        self.run(move |memory| hash(password.expose_secret(), memory)).await
    }

    async fn verify(&self, password: &Password, hash: Option<&PasswordHash>) -> Result<Verification, HashError> {
        let password = normalized(password);
        let is_somebodys = hash.is_some();
        let hash = hash.map_or_else(|| NOBODYS.to_owned(), |hash| hash.0.clone());
        let verification = self
            .run(move |memory| verify(password.expose_secret(), &hash, memory))
            .await?;
        Ok(if is_somebodys {
            verification
        } else {
            Verification::Wrong
        })
    }
}

/// The same bytes for the same characters, however a keyboard composes them (NIST SP 800-63B §3.1.1.2 wants NFKC or NFKD), in a
/// copy that is wiped out with the work, whether or not it is done.
fn normalized(password: &Password) -> SecretString {
    SecretString::from(password.expose().nfkc().collect::<String>())
}

fn hash(password: &str, memory: &mut Memory) -> Result<PasswordHash, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT_BYTES)).map_err(failed)?;
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(failed)?;
    let mut output = [0; OUTPUT_BYTES];
    let phc = Phc {
        algorithm: Ident::from(Algorithm::Argon2id),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(failed)?,
        salt: Some(Salt::new(&salt).map_err(failed)?),
        hash: {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            fill(&argon2, password, &salt, &mut output, memory)?;
            Some(Output::new(&output).map_err(failed)?)
        },
    };
    Ok(PasswordHash(phc.to_string()))
}

fn verify(password: &str, hash: &str, memory: &mut Memory) -> Result<Verification, HashError> {
    let stored = match Stored::parse(hash) {
        Ok(stored) => stored,
        Err(unusable) => {
            tracing::error!(
                code = "password_hash_unusable",
                "{unusable}: nobody signs in to that account until its password is reset"
            );
            // Refused like every wrong password, in the same time: an error would tell that the account exists.
            fill(
                &Stored::parse(NOBODYS).map_err(failed)?.argon2,
                password,
                &[0; SALT_BYTES],
                &mut [0; OUTPUT_BYTES],
                memory,
            )?;
            return Ok(Verification::Wrong);
        }
    };
    let mut output = vec![0; stored.output.len()];
    fill(&stored.argon2, password, &stored.salt, &mut output, memory)?;
    if memory.len() > usize::try_from(MEMORY_KIB).unwrap_or(usize::MAX) {
        // Once is enough for so large a one: its password is hashed anew.
        *memory = Memory::new();
    }
    Ok(match verify_slices_are_equal(&output, stored.output.as_bytes()) {
        Err(_) => Verification::Wrong,
        Ok(()) if stored.is_outdated => Verification::Outdated,
        Ok(()) => Verification::Right,
    })
}

/// A stored hash, taken apart.
struct Stored {
    argon2: Argon2<'static>,
    salt: Salt,
    output: Output,
    is_outdated: bool,
}

impl Stored {
    fn parse(text: &str) -> Result<Self, Unusable> {
        let phc = Phc::new(text).map_err(|_| Unusable::Unreadable)?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(|_| Unusable::Unreadable)?;
        // Without a version it is the first one (PHC string format, Argon2).
        let version = phc.version.unwrap_or(Version::V0x10.into());
        let version = Version::try_from(version).map_err(|_| Unusable::Unreadable)?;
        let params = Params::try_from(&phc).map_err(|_| Unusable::Unreadable)?;
        let (Some(salt), Some(output)) = (phc.salt, phc.hash) else {
            return Err(Unusable::Unreadable);
        };
        let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
        if memory > MOST_MEMORY_KIB || passes > MOST_PASSES || lanes > MOST_LANES {
            return Err(Unusable::Excessive);
        }
        Ok(Self {
            is_outdated: algorithm != Algorithm::Argon2id
                || version != Version::V0x13
                || memory < MEMORY_KIB
                || passes < PASSES
                || lanes < LANES
                || salt.as_ref().len() < SALT_BYTES
                || output.len() < OUTPUT_BYTES,
            argon2: Argon2::new(algorithm, version, params),
            salt,
            output,
        })
    }
}

fn fill(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Memory,
) -> Result<(), HashError> {
    let blocks = argon2.params().block_count();
    if memory.len() < blocks {
        // An allocation that fails must not end the process.
        memory.try_reserve_exact(blocks - memory.len()).map_err(failed)?;
        memory.resize(blocks, Block::new());
    }
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, output, memory.as_mut_slice())
        .map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HashError {
    HashError::Failed(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::{future::join_all, poll};

    use super::*;

    fn hasher(threads: usize, queue: usize) -> Argon2Hasher {
        Argon2Hasher::new(HashingLimits { threads, queue })
    }

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    fn made_with(algorithm: Algorithm, version: Version, memory: u32, passes: u32, lanes: u32) -> PasswordHash {
        let params = Params::new(memory, passes, lanes, Some(OUTPUT_BYTES)).unwrap();
        let argon2 = Argon2::new(algorithm, version, params);
        let phc = argon2::PasswordHasher::hash_password_with_salt(&argon2, b"tulip ferry onyx", &[7; SALT_BYTES]);
        PasswordHash(phc.unwrap().to_string())
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_another_is_not() {
        let hasher = hasher(1, 1);
        let hash = hasher.hash(&password("tulip ferry onyx")).await.unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        let verify = async |text: &str| hasher.verify(&password(text), Some(&hash)).await.unwrap();
        assert_eq!(verify("tulip ferry onyx").await, Verification::Right);
        assert_eq!(verify("tulip ferry onyy").await, Verification::Wrong);
        assert_eq!(verify("").await, Verification::Wrong);
        let again = hasher.hash(&password("tulip ferry onyx")).await.unwrap();
        assert_ne!(hash, again, "each has a salt of its own");
    }

    #[tokio::test]
    async fn the_same_characters_are_the_same_password_however_they_are_composed() {
        let hasher = hasher(1, 1);
        let composed = hasher.hash(&password("caf\u{e9} \u{fb01}ddle onyx")).await.unwrap();
        let taken_apart = password("cafe\u{301} fiddle onyx");
        assert_eq!(
            hasher.verify(&taken_apart, Some(&composed)).await.unwrap(),
            Verification::Right
        );
    }

    #[tokio::test]
    async fn other_programs_know_the_hash() {
        let hash = hasher(1, 1).hash(&password("tulip ferry onyx")).await.unwrap();
        let theirs = Argon2::default();
        let verify = |text: &str| argon2::PasswordVerifier::verify_password(&theirs, text.as_bytes(), hash.0.as_str());
        assert!(verify("tulip ferry onyx").is_ok());
        assert!(verify("tulip ferry onyy").is_err());
    }

    #[tokio::test]
    async fn nobodys_hash_is_one_of_today_and_fits_no_password() {
        let nobodys = Stored::parse(NOBODYS).unwrap();
        assert!(!nobodys.is_outdated);
        let params = nobodys.argon2.params();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost(), nobodys.output.len()),
            (MEMORY_KIB, PASSES, LANES, OUTPUT_BYTES)
        );
        assert_eq!(nobodys.salt.as_ref().len(), SALT_BYTES);
        let hasher = hasher(1, 1);
        assert_eq!(hasher.verify(&password("x"), None).await.unwrap(), Verification::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_less_effort_is_outdated_when_it_is_right_and_one_of_more_stays() {
        let (id, v19) = (Algorithm::Argon2id, Version::V0x13);
        let hasher = hasher(1, 1);
        for outdated in [
            made_with(id, v19, MEMORY_KIB - 1, PASSES, LANES),
            made_with(id, v19, MEMORY_KIB, PASSES - 1, LANES),
            made_with(id, Version::V0x10, MEMORY_KIB, PASSES, LANES),
            made_with(Algorithm::Argon2i, v19, MEMORY_KIB, PASSES, LANES),
        ] {
            let right = hasher.verify(&password("tulip ferry onyx"), Some(&outdated)).await;
            assert_eq!(right.unwrap(), Verification::Outdated, "{}", outdated.0);
            let wrong = hasher.verify(&password("tulip ferry onyy"), Some(&outdated)).await;
            assert_eq!(wrong.unwrap(), Verification::Wrong, "{}", outdated.0);
        }
        for more in [
            made_with(id, v19, MEMORY_KIB * 2, PASSES, 4),
            made_with(id, v19, MEMORY_KIB, PASSES + 1, LANES),
        ] {
            let right = hasher.verify(&password("tulip ferry onyx"), Some(&more)).await;
            assert_eq!(right.unwrap(), Verification::Right, "{}", more.0);
        }
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_used_fits_no_password_and_its_text_is_not_told() {
        let salt_and_output = NOBODYS.split_once("p=1").unwrap().1;
        let excessive = |params: &str| format!("$argon2id$v=19${params}{salt_and_output}");
        let hasher = hasher(1, 1);
        for unusable in [
            String::new(),
            "cänary".to_owned(),
            "$2b$12$WApznUPhDubN0oeveSXHp.Rk0rMSLIMjnuEdPZ4sFfnmGqTw2sDH6".to_owned(),
            "$argon2id$v=19$m=19456,t=2,p=1$cW9hSDVyTnVzVGlsM1B4ZQ".to_owned(),
            NOBODYS.replace("v=19", "v=20"),
            excessive("m=65537,t=2,p=1"),
            excessive("m=4294967295,t=2,p=1"),
            excessive("m=19456,t=17,p=1"),
            excessive("m=19456,t=4294967295,p=1"),
            excessive("m=19456,t=2,p=17"),
        ] {
            let refused = hasher
                .verify(&password("x"), Some(&PasswordHash(unusable.clone())))
                .await;
            assert!(matches!(refused, Ok(Verification::Wrong)), "{unusable}: {refused:?}");
            let told = Stored::parse(&unusable).map(drop).unwrap_err().to_string();
            assert!(!told.contains("cänary") && !told.contains("cW9h"), "{told}");
        }
    }

    #[tokio::test]
    async fn who_finds_no_place_is_told_to_come_back_and_the_others_get_their_answers() {
        let hasher = hasher(1, 2);
        let (go, may_go) = mpsc::channel::<()>();
        let mut held = Box::pin(hasher.pool.run(move |_| may_go.recv().is_ok()));
        assert!(poll!(&mut held).is_pending());
        let password = password("tulip ferry onyx");
        let mut waiting = [hasher.hash(&password), hasher.hash(&password)];
        for future in &mut waiting {
            assert!(poll!(future).is_pending());
        }
        assert!(matches!(hasher.hash(&password).await, Err(HashError::Busy)));
        assert!(matches!(hasher.verify(&password, None).await, Err(HashError::Busy)));
        go.send(()).unwrap();
        for hash in join_all(waiting).await {
            assert!(hash.is_ok());
        }
    }
}
