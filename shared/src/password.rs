//! New passwords: what is accepted, and how they are stored.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use argon2::{Algorithm, Argon2, Block, Params, PasswordVerifier, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use rand::TryCryptoRng;
use serde::{Serialize, Serializer};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};
use zxcvbn::zxcvbn;

use crate::address::EmailAddress;

/// The longest password, in code points. NIST SP 800-63B-4 §3.1.1.2 asks for 64 at least; the
/// limit only bounds the work.
pub const MAX_LENGTH: usize = 256;
/// Bytes of salt in a stored hash (RFC 9106 §3.1 recommends 16).
const SALT_BYTES: usize = 16;
/// Bytes of output in a stored hash.
const HASH_BYTES: usize = 32;
/// The most characters that are scored: zxcvbn's work grows with the square of their number.
const MAX_SCORED_CHARS: usize = 48;
/// The most work that scoring may be, as [`scoring_work`] counts it: two milliseconds.
const MAX_SCORING_WORK: usize = 30_000;
/// The signs that zxcvbn reads as a letter each, by letter. It tries every combination of the
/// readings of those that occur, which are more than a thousand where all occur.
const LOOK_ALIKES: [&str; 12] = [
    "4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2",
];
/// Signs that stand for either of two letters, and so double the combinations.
const AMBIGUOUS: &str = "1|7";
/// Shorter words of a name are too common inside other words to say anything.
const MIN_CONTEXT_CHARS: usize = 3;
/// How many times longer than a text its NFC can be, in UTF-8
/// (<https://www.unicode.org/faq/normalization.html#12>).
const MAX_NFC_GROWTH: usize = 3;

/// A password in Unicode's NFC (NIST SP 800-63B-4 §3.1.1.2), so that it is the same bytes from
/// every keyboard.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Normalises what was typed. Nothing is trimmed: space is a character like any other.
    #[must_use]
    pub fn new(typed: &str) -> Self {
        // A buffer that has to grow leaves a copy behind that nobody zeroes.
        let mut text = Zeroizing::new(String::with_capacity(MAX_NFC_GROWTH * typed.len()));
        text.extend(typed.nfc());
        Self(text)
    }

    /// The length that the policy counts: code points after normalisation.
    #[must_use]
    pub fn chars(&self) -> usize {
        self.0.chars().count()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// One reason why a password is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Fewer code points than the minimum.
    TooShort,
    /// More code points than [`MAX_LENGTH`].
    TooLong,
    /// A guesser would find it early.
    TooGuessable,
    /// What is left without the account's address and name is too guessable.
    ContainsAccount,
    /// Found in a published breach.
    Breached,
}

impl Weakness {
    /// Every reason there is.
    pub const ALL: [Self; 5] = [
        Self::TooShort,
        Self::TooLong,
        Self::TooGuessable,
        Self::ContainsAccount,
        Self::Breached,
    ];

    /// The stable name, as programs see it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::TooGuessable => "too_guessable",
            Self::ContainsAccount => "contains_account",
            Self::Breached => "breached",
        }
    }
}

impl Serialize for Weakness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// What a password has to be. There are no composition rules, as NIST SP 800-63B-4 §3.1.1.2
/// has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// The least number of code points.
    pub min_length: usize,
    /// The least score of zxcvbn, 0 to 4.
    pub min_score: u8,
}

impl PasswordPolicy {
    /// Everything that is wrong with `password` for the account; empty where nothing is.
    ///
    /// The work is bounded, see [`scored_part`].
    #[must_use]
    pub fn weaknesses(
        &self,
        password: &Password,
        email: &EmailAddress,
        name: Option<&str>,
    ) -> Vec<Weakness> {
        let length = password.chars();
        if length > MAX_LENGTH {
            return vec![Weakness::TooLong];
        }
        let mut weaknesses = Vec::new();
        if length < self.min_length {
            weaknesses.push(Weakness::TooShort);
        }
        let words = context_words(email, name);
        let rest = without(&password.0, &words);
        let lower = Zeroizing::new(password.0.to_lowercase());
        let leans_on_account = lower.contains(email.as_str())
            || (*rest != *password.0 && self.is_guessable(&rest, &words));
        if leans_on_account {
            weaknesses.push(Weakness::ContainsAccount);
        } else if self.is_guessable(&password.0, &words) {
            weaknesses.push(Weakness::TooGuessable);
        }
        weaknesses
    }

    fn is_guessable(&self, text: &str, context: &[String]) -> bool {
        let context: Vec<&str> = context.iter().map(String::as_str).collect();
        u8::from(zxcvbn(scored_part(text), &context).score()) < self.min_score
    }

    /// What to tell the person about `weakness`.
    #[must_use]
    pub fn advice(&self, weakness: Weakness) -> String {
        match weakness {
            Weakness::TooShort => format!(
                "Use at least {} characters. A few words that do not belong together are easy to remember.",
                self.min_length
            ),
            Weakness::TooLong => format!("Use at most {MAX_LENGTH} characters."),
            Weakness::TooGuessable => {
                "This password is easy to guess. Add a few words that do not belong together; \
                avoid names, dates, patterns and well-known phrases."
                    .to_owned()
            }
            Weakness::ContainsAccount => {
                "This password is built on your name or e-mail address, which others know. \
                Leave them out, or add a few unrelated words."
                    .to_owned()
            }
            Weakness::Breached => {
                "This password is known from a data breach elsewhere, so attackers try it first. \
                Choose another one."
                    .to_owned()
            }
        }
    }
}

/// Makes what the first [`PasswordPolicy::weaknesses`] of a process would wait for: zxcvbn's
/// dictionaries and expressions, eighty million instructions.
pub fn prepare() {
    zxcvbn("correct horse battery staple 1.1.2000", &[]);
}

/// The beginning of `text` that zxcvbn is shown: as much as it scores in bounded time. What is hard
/// to guess by its beginning is so as a whole, and what is left is nine characters at least.
fn scored_part(text: &str) -> &str {
    text.char_indices()
        .map(|(start, char)| &text[..start + char.len_utf8()])
        .take(MAX_SCORED_CHARS)
        .take_while(|part| scoring_work(part) <= MAX_SCORING_WORK)
        .last()
        .unwrap_or_default()
}

/// How much work it is to score `text`: every pair of a beginning and an end is looked up, once
/// for each combination of readings, and as often as nine of them cost for everything else.
fn scoring_work(text: &str) -> usize {
    let weight = |sign: char| 1 + usize::from(AMBIGUOUS.contains(sign));
    let readings = |signs: &&str| {
        let present = signs.chars().filter(|sign| text.contains(*sign));
        present.map(weight).sum::<usize>().max(1)
    };
    let combinations: usize = LOOK_ALIKES.iter().map(readings).product();
    text.chars().count().pow(2) * (9 + combinations)
}

/// The words that somebody who knows the account would try first, the longest first.
fn context_words(email: &EmailAddress, name: Option<&str>) -> Vec<String> {
    let separators = |c: char| !c.is_alphanumeric();
    let mut words = vec![email.as_str().to_owned(), email.local_part().to_owned()];
    words.extend(email.as_str().split(separators).map(str::to_owned));
    if let Some(name) = name {
        let name: String = name.nfc().collect::<String>().to_lowercase();
        words.extend(name.split(separators).map(str::to_owned));
        words.push(name.split(separators).collect());
        words.push(name);
    }
    words.retain(|word| word.chars().count() >= MIN_CONTEXT_CHARS);
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.dedup();
    words
}

/// `text` in lower case and without `words`; `text` as it is where none of them occurs.
fn without(text: &str, words: &[String]) -> Zeroizing<String> {
    let lower = Zeroizing::new(text.to_lowercase());
    let mut rest = lower.clone();
    for word in words {
        if rest.contains(word.as_str()) {
            rest = Zeroizing::new(rest.replace(word.as_str(), ""));
        }
    }
    if *rest == *lower {
        Zeroizing::new(text.to_owned())
    } else {
        rest
    }
}

/// How a stored hash is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashFormat {
    /// `$argon2id$v=19$…`, the PHC string format.
    Phc,
    /// `argon2$argon2id$v=19$…`, the same behind Django's name for the algorithm.
    Django,
}

/// Django's name for the algorithm, in front of a PHC string.
const DJANGO_PREFIX: &str = "argon2";

impl HashFormat {
    /// `phc` or `django`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "phc" => Some(Self::Phc),
            "django" => Some(Self::Django),
            _ => None,
        }
    }
}

/// The cost of a hash. The defaults are the OWASP password storage cheat sheet's minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashParams {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// How the hash is written down.
    pub format: HashFormat,
}

/// Hashing failed: the parameters were refused, or no memory or random salt was to be had.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Argon2 refused its parameters.
    #[error("argon2: {0}")]
    Argon2(argon2::Error),
    /// The random generator failed.
    #[error("no random salt: {0}")]
    Random(String),
    /// The worker thread is gone.
    #[error("the hashing thread failed")]
    Thread(#[source] oneshot::error::RecvError),
}

/// Hashes passwords with Argon2id, one at a time: a second hash at once would only slow the
/// first down, and double the memory. The memory is kept between hashes, zeroed.
#[derive(Clone)]
pub struct PasswordHasher {
    params: HashParams,
    argon2: Argon2<'static>,
    memory: Arc<Mutex<Vec<Block>>>,
}

impl PasswordHasher {
    /// A hasher with these costs.
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

    /// The string to store for `password`, hashed on a thread of its own with a salt from `rng`.
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
        tokio::task::spawn_blocking(move || {
            let mut memory = hasher.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let hash = hasher.hash_in(&mut memory, &password, &salt);
            drop(password);
            // Zeroing takes a fifteenth of the hash's time; meanwhile the hash is stored. Where it
            // cannot be sent, nobody waits for it any more.
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

        let HashParams {
            memory_kib,
            iterations,
            parallelism,
            format,
        } = self.params;
        let prefix = match format {
            HashFormat::Phc => "",
            HashFormat::Django => DJANGO_PREFIX,
        };
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(*hash));
        Ok(format!(
            "{prefix}$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${hash}"
        ))
    }
}

/// Whether `password` is the one behind the stored `hash`, a PHC string with or without Django's
/// prefix. A hash of another kind verifies nothing.
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
    use proptest::prelude::*;
    use rand::rngs::SysRng;

    const POLICY: PasswordPolicy = PasswordPolicy {
        min_length: 15,
        min_score: 3,
    };
    const CHEAP: HashParams = HashParams {
        memory_kib: 64,
        iterations: 1,
        parallelism: 1,
        format: HashFormat::Phc,
    };

    fn weaknesses(password: &str) -> Vec<Weakness> {
        let email = EmailAddress::parse("ada.king@example.com").expect("valid");
        POLICY.weaknesses(&Password::new(password), &email, Some("Ada Lovelace"))
    }

    #[test]
    fn unrelated_words_are_accepted() {
        for password in [
            "correct horse battery staple",
            "три белых коня и одна весна",
            "kWv7 0pZq aL2m 9sTd",
        ] {
            assert_eq!(weaknesses(password), [], "{password}");
        }
    }

    #[test]
    fn length_is_counted_in_code_points_after_normalisation() {
        assert!(weaknesses("zq7kxw2mvp4rh8").contains(&Weakness::TooShort));
        assert_eq!(weaknesses("zq7kxw2mvp4rh8t"), []);
        // 14 letters with combining accents: 28 code points as typed, 14 in NFC.
        assert!(weaknesses(&"e\u{301}".repeat(14)).contains(&Weakness::TooShort));
        assert_eq!(weaknesses(&"🐎🔋".repeat(129)), [Weakness::TooLong]);
    }

    #[test]
    fn sixty_four_characters_and_more_are_accepted() {
        let long: String = (0..64_u32)
            .map(|i| char::from(b'!' + u8::try_from(i * 37 % 94).expect("under 94")))
            .collect();
        assert_eq!(weaknesses(&long), []);
        assert_eq!(weaknesses(&long.repeat(4)), []);
        assert_eq!(
            weaknesses(&format!("{}x", long.repeat(4))),
            [Weakness::TooLong]
        );
    }

    #[test]
    fn scoring_is_bounded_and_a_strong_beginning_is_enough() {
        let signs = "@4({[<369&#!1/|0$5+7%2";
        // zxcvbn takes half a second and more for all of either.
        for password in [signs.repeat(4), "kX9$2(a[3!|0$5+7%8{<6#".repeat(4)] {
            let part = scored_part(&password);
            assert!((9..40).contains(&part.len()), "{part}");
            assert_eq!(weaknesses(&password), []);
        }
        let words = "correct horse battery staple ".repeat(3);
        assert_eq!(scored_part(&words).len(), MAX_SCORED_CHARS);
        assert_eq!(scored_part("p4ssw0rd 1234567"), "p4ssw0rd 1234567");
    }

    #[test]
    fn guessable_passwords_are_refused() {
        for password in [
            "password1234567",
            "aaaaaaaaaaaaaaaaaaaa",
            "qwertyuiopasdfgh",
            "123456789012345",
        ] {
            assert_eq!(weaknesses(password), [Weakness::TooGuessable], "{password}");
        }
    }

    #[test]
    fn passwords_built_on_the_account_are_refused() {
        for password in [
            "ada.king@example.com",
            "Ada.King@Example.com 1815",
            "adalovelace12345",
            "Ada Lovelace 1815!",
            "lovelacelovelace",
            "ada.king.ada.king",
        ] {
            assert!(
                weaknesses(password).contains(&Weakness::ContainsAccount),
                "{password}"
            );
        }
        // A word of the name in a phrase that holds without it is no reason.
        assert_eq!(weaknesses("correct ada horse battery staple"), []);
    }

    #[tokio::test]
    async fn a_hash_verifies_and_its_format_is_as_set() {
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
    async fn nothing_of_a_password_stays_in_the_memory_of_its_hash() {
        let hasher = PasswordHasher::new(CHEAP).expect("valid costs");
        let password = Arc::new(Password::new("correct horse battery staple"));
        hasher
            .hash(password.clone(), &mut SysRng)
            .await
            .expect("hashes");
        // It is locked until it is zeroed.
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
    fn debug_shows_nothing() {
        let password = Password::new("correct horse battery staple");
        assert_eq!(format!("{password:?}"), "Password(redacted)");
    }

    proptest! {
        #[test]
        fn no_text_is_too_much_to_score(text in "[4@8(\\[{<369&#!1/|0$5+7%2a ]{0,256}|\\PC{0,256}") {
            let part = scored_part(&text);
            prop_assert!(text.starts_with(part));
            prop_assert!(part.chars().count() <= MAX_SCORED_CHARS);
            prop_assert!(scoring_work(part) <= MAX_SCORING_WORK);
            // Enough to score, whatever it begins with.
            prop_assert!(part.chars().count() >= text.chars().count().min(9));
        }

        #[test]
        fn normalising_leaves_no_copy_behind(typed in "\\PC{0,64}|[\u{1f82}\u{390}\u{fb2c}\u{1d160}]{1,64}") {
            let room = String::with_capacity(MAX_NFC_GROWTH * typed.len()).capacity();
            prop_assert_eq!(Password::new(&typed).0.capacity(), room);
        }
    }

    #[test]
    fn a_hash_of_another_kind_verifies_nothing() {
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
