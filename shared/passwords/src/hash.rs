//! Storing and verifying passwords with Argon2id.

use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, PasswordVerifier, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use rand::TryCryptoRng;
use rules::environment::{Environment, SettingError};
use tokio::sync::oneshot;
use tracing::Span;
use zeroize::{Zeroize, Zeroizing};

use crate::password::Password;

/// Bytes of salt in a stored hash (RFC 9106 §3.1 recommends 16).
const SALT_BYTES: usize = 16;
/// Bytes of output in a stored hash.
const HASH_BYTES: usize = 32;

/// Format of a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashFormat {
    /// `$argon2id$v=19$…`, the PHC string format.
    Phc,
    /// `argon2$argon2id$v=19$…`, the same with Django's name for the algorithm in front.
    Django,
}

/// Django's name for the algorithm.
const DJANGO_PREFIX: &str = "argon2";

impl HashFormat {
    /// Parses `phc` or `django`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "phc" => Some(Self::Phc),
            "django" => Some(Self::Django),
            _ => None,
        }
    }
}

/// Parameters of a hash. The defaults are the minimum of OWASP's password storage cheat sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashParams {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Number of passes over the memory.
    pub iterations: u32,
    /// Number of lanes.
    pub parallelism: u32,
    /// Format of the stored hash.
    pub format: HashFormat,
}

impl HashParams {
    /// Reads `ARGON2_MEMORY_KIB`, `ARGON2_ITERATIONS`, `ARGON2_PARALLELISM` and
    /// `PASSWORD_HASH_FORMAT`.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let parallelism = env.number("ARGON2_PARALLELISM", 1, 1..=16)?;
        Ok(Self {
            memory_kib: env.number("ARGON2_MEMORY_KIB", 19_456, 8 * parallelism..=1_048_576)?,
            iterations: env.number("ARGON2_ITERATIONS", 2, 1..=100)?,
            parallelism,
            format: env.with_default(
                "PASSWORD_HASH_FORMAT",
                "phc",
                "phc or django",
                HashFormat::parse,
            )?,
        })
    }

    /// Returns a hash that no password verifies against, with the cost of a real one.
    #[must_use]
    pub fn unusable_hash(self) -> String {
        self.format_hash(&[0; SALT_BYTES], &[0; HASH_BYTES])
    }

    fn format_hash(self, salt: &[u8; SALT_BYTES], hash: &[u8; HASH_BYTES]) -> String {
        let Self {
            memory_kib,
            iterations,
            parallelism,
            format,
        } = self;
        let prefix = match format {
            HashFormat::Phc => "",
            HashFormat::Django => DJANGO_PREFIX,
        };
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        format!(
            "{prefix}$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${hash}"
        )
    }
}

/// The reason why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Argon2 rejected its parameters.
    #[error("argon2: {0}")]
    Argon2(argon2::Error),
    /// The random generator failed.
    #[error("no random salt: {0}")]
    Random(String),
    /// The worker thread ended without a result.
    #[error("the hashing thread failed")]
    Thread(#[source] oneshot::error::RecvError),
}

/// Hashes passwords with Argon2id, one at a time: two at once would slow each other down and need
/// twice the memory. The memory is zeroed and kept between hashes.
#[derive(Clone)]
pub struct PasswordHasher {
    params: HashParams,
    argon2: Argon2<'static>,
    memory: Arc<Mutex<Vec<Block>>>,
}

impl PasswordHasher {
    /// Creates a hasher with these parameters.
    pub fn new(params: HashParams) -> Result<Self, HashError> {
        let HashParams {
            memory_kib,
            iterations,
            parallelism,
            ..
        } = params;
        let costs = Params::new(memory_kib, iterations, parallelism, Some(HASH_BYTES))
            .map_err(HashError::Argon2)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, costs);
        Ok(Self {
            params,
            argon2,
            memory: Arc::default(),
        })
    }

    /// Hashes `password` on a worker thread, with a salt from `rng`. Returns the string to store.
    pub async fn hash<R: TryCryptoRng>(
        &self,
        password: Arc<Password>,
        rng: &mut R,
    ) -> Result<String, HashError> {
        let mut salt = [0; SALT_BYTES];
        rng.try_fill_bytes(&mut salt)
            .map_err(|error| HashError::Random(error.to_string()))?;
        let hasher = self.clone();
        let (sender, receiver) = oneshot::channel();
        // A panic is logged on the thread that panics.
        let span = Span::current();
        tokio::task::spawn_blocking(move || {
            let _entered = span.enter();
            let mut memory = hasher.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let hash = hasher.hash_in(&mut memory, &password, &salt);
            drop(password);
            // Sent before the memory is zeroed, which takes a fifteenth of the hash's time. If it
            // cannot be sent, the caller no longer waits for it.
            let _ = sender.send(hash);
            memory.iter_mut().for_each(Zeroize::zeroize);
        });
        receiver.await.map_err(HashError::Thread)?
    }

    fn hash_in(
        &self,
        memory: &mut Vec<Block>,
        password: &Password,
        salt: &[u8; SALT_BYTES],
    ) -> Result<String, HashError> {
        let mut hash = Zeroizing::new([0; HASH_BYTES]);
        memory.resize(self.argon2.params().block_count(), Block::default());
        self.argon2
            .hash_password_into_with_memory(
                password.as_bytes(),
                salt,
                hash.as_mut(),
                memory.as_mut_slice(),
            )
            .map_err(HashError::Argon2)?;

        Ok(self.params.format_hash(salt, &hash))
    }
}

/// Returns whether `password` matches the stored `hash`, a PHC string with or without Django's
/// prefix. A hash of another algorithm never matches.
#[must_use]
pub fn verify(password: &Password, hash: &str) -> bool {
    let phc = hash.strip_prefix(DJANGO_PREFIX).unwrap_or(hash);
    Argon2::default()
        .verify_password(password.as_bytes(), phc)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SysRng;

    const CHEAP: HashParams = HashParams {
        memory_kib: 64,
        iterations: 1,
        parallelism: 1,
        format: HashFormat::Phc,
    };

    #[tokio::test]
    async fn a_hash_verifies_in_the_configured_format() {
        let params = HashParams {
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
            format: HashFormat::Phc,
        };
        let password = Arc::new(Password::new("correct horse battery staple"));
        for (format, prefix) in [
            (HashFormat::Phc, "$argon2id$v=19$m=19456,t=2,p=1$"),
            (HashFormat::Django, "argon2$argon2id$v=19$m=19456,t=2,p=1$"),
        ] {
            let hasher = PasswordHasher::new(HashParams { format, ..params }).expect("valid costs");
            let (one, other) = (
                hasher
                    .hash(password.clone(), &mut SysRng)
                    .await
                    .expect("hashes"),
                hasher
                    .hash(password.clone(), &mut SysRng)
                    .await
                    .expect("hashes"),
            );
            assert!(one.starts_with(prefix), "{one}");
            assert_ne!(one, other, "every hash has a salt of its own");
            assert!(verify(&password, &one));
            assert!(!verify(&Password::new("correct horse battery stapl"), &one));
        }
    }

    #[tokio::test]
    async fn the_memory_of_a_hash_is_zeroed() {
        let hasher = PasswordHasher::new(CHEAP).expect("valid costs");
        let password = Arc::new(Password::new("correct horse battery staple"));
        hasher
            .hash(password.clone(), &mut SysRng)
            .await
            .expect("hashes");
        // The lock is held until the memory is zeroed.
        let memory = hasher.memory.lock().expect("no panic");
        assert_eq!(memory.len(), CHEAP.memory_kib as usize);
        assert!(
            memory
                .iter()
                .all(|block| block.as_ref().iter().all(|word| *word == 0))
        );
        assert_eq!(Arc::strong_count(&password), 1);
    }

    #[tokio::test]
    async fn composed_and_decomposed_letters_are_the_same_password() {
        let hasher = PasswordHasher::new(CHEAP).expect("valid costs");
        let hash = hasher
            .hash(Arc::new(Password::new("caf\u{e9} au lait")), &mut SysRng)
            .await
            .expect("hashes");
        assert!(verify(&Password::new("cafe\u{301} au lait"), &hash));
    }

    #[test]
    fn a_hash_of_another_algorithm_never_matches() {
        for hash in [
            "",
            "!",
            "pbkdf2_sha256$600000$salt$hash",
            "$2b$12$abcdefghijklmnopqrstuv",
            "argon2",
        ] {
            assert!(!verify(&Password::new("x"), hash));
        }
    }
}
