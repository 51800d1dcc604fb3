//! The password policy.

use rules::{
    address::EmailAddress,
    environment::{Environment, SettingError},
    weakness::{MAX_LENGTH, Weakness},
};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;
use zxcvbn::zxcvbn;

use crate::password::Password;

/// Maximum number of characters that are scored: zxcvbn takes quadratic time.
const MAX_SCORED_CHARS: usize = 48;
/// Maximum work of scoring, in the units of [`scoring_work`]; about two milliseconds.
const MAX_SCORING_WORK: usize = 30_000;
/// Characters that zxcvbn also reads as letters, grouped by letter. It tries every combination of
/// readings of the characters that occur, which can be more than a thousand.
const LOOK_ALIKES: [&str; 12] = [
    "4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2",
];
/// Characters that stand for either of two letters, which doubles the combinations.
const AMBIGUOUS: &str = "1|7";
/// Minimum length of a context word; shorter ones are common inside other words.
const MIN_CONTEXT_CHARS: usize = 3;

/// Requirements on a new password. There are no composition rules (NIST SP 800-63B-4 §3.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Minimum length, in code points.
    pub min_length: usize,
    /// Minimum zxcvbn score, 0 to 4.
    pub min_score: u8,
}

impl PasswordPolicy {
    /// Reads `PASSWORD_MIN_LENGTH` and `PASSWORD_MIN_SCORE`.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            // NIST SP 800-63B-4 §3.1.1.2: 15 if the password is the only factor, never under 8.
            // Passwords of 64 must be accepted, so the minimum cannot be higher.
            min_length: env.number("PASSWORD_MIN_LENGTH", 15, 8..=64)? as usize,
            min_score: u8::try_from(env.number("PASSWORD_MIN_SCORE", 3, 0..=4)?).unwrap_or(4),
        })
    }

    /// Returns every reason to reject `password` for the account; empty if it is accepted.
    ///
    /// The work is bounded; see [`scored_part`].
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
        let rest = without(password.as_str(), &words);
        let lower = Zeroizing::new(password.as_str().to_lowercase());
        let contains_account = lower.contains(email.as_str())
            || (rest.as_str() != password.as_str() && self.is_guessable(&rest, &words));
        if contains_account {
            weaknesses.push(Weakness::ContainsAccount);
        } else if self.is_guessable(password.as_str(), &words) {
            weaknesses.push(Weakness::TooGuessable);
        }
        weaknesses
    }

    fn is_guessable(&self, text: &str, context: &[String]) -> bool {
        let context: Vec<&str> = context.iter().map(String::as_str).collect();
        u8::from(zxcvbn(scored_part(text), &context).score()) < self.min_score
    }
}

/// Builds zxcvbn's dictionaries and regular expressions in advance. Otherwise the first call of
/// [`PasswordPolicy::weaknesses`] builds them, which takes eighty million instructions.
pub fn prepare() {
    zxcvbn("correct horse battery staple 1.1.2000", &[]);
}

/// Returns the beginning of `text` that zxcvbn can score in bounded time, at least nine characters.
/// Text whose beginning is hard to guess is hard to guess as a whole.
fn scored_part(text: &str) -> &str {
    text.char_indices()
        .map(|(start, char)| &text[..start + char.len_utf8()])
        .take(MAX_SCORED_CHARS)
        .take_while(|part| scoring_work(part) <= MAX_SCORING_WORK)
        .last()
        .unwrap_or_default()
}

/// Estimates the work of scoring `text`: every substring is looked up once for each combination of
/// readings, and everything else costs about as much as nine of these.
fn scoring_work(text: &str) -> usize {
    let weight = |symbol: char| 1 + usize::from(AMBIGUOUS.contains(symbol));
    let readings = |symbols: &&str| {
        let present = symbols.chars().filter(|symbol| text.contains(*symbol));
        present.map(weight).sum::<usize>().max(1)
    };
    let combinations: usize = LOOK_ALIKES.iter().map(readings).product();
    text.chars().count().pow(2) * (9 + combinations)
}

/// Returns the words that an attacker who knows the account would try first, longest first.
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

/// Removes `words` from `text`, ignoring case, and returns the rest in lower case. Returns `text`
/// unchanged if none of them occurs.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: PasswordPolicy = PasswordPolicy {
        min_length: 15,
        min_score: 3,
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
    fn scoring_is_bounded_and_a_strong_beginning_suffices() {
        let symbols = "@4({[<369&#!1/|0$5+7%2";
        // zxcvbn takes half a second or more for the whole of either.
        for password in [symbols.repeat(4), "kX9$2(a[3!|0$5+7%8{<6#".repeat(4)] {
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
        // A word of the name is allowed in a phrase that is strong without it.
        assert_eq!(weaknesses("correct ada horse battery staple"), []);
    }

    proptest! {
        #[test]
        fn scoring_work_is_bounded_for_any_text(text in "[4@8(\\[{<369&#!1/|0$5+7%2a ]{0,256}|\\PC{0,256}") {
            let part = scored_part(&text);
            prop_assert!(text.starts_with(part));
            prop_assert!(part.chars().count() <= MAX_SCORED_CHARS);
            prop_assert!(scoring_work(part) <= MAX_SCORING_WORK);
            // Always enough to score.
            prop_assert!(part.chars().count() >= text.chars().count().min(9));
        }
    }
}
