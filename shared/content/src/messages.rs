//! What people read, by language: one Fluent file each, compiled in.

use std::{
    ffi::OsStr,
    sync::{LazyLock, OnceLock},
};

use chrono::{DateTime, Datelike, Utc};
use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use include_dir::{Dir, File, include_dir};
use unic_langid::LanguageIdentifier;

/// One file for each language, named after its tag. A new file is seen by the next build that
/// compiles this one anew.
static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../templates/messages");

/// The language of somebody who has not said which.
const DEFAULT: &str = "en";

/// A language that people are spoken to in.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// Its tag, for `lang` in HTML.
    pub tag: &'static str,
    source: &'static str,
}

impl Language {
    /// All of them, in the order of their tags.
    #[must_use]
    pub fn all() -> &'static [Self] {
        static ALL: LazyLock<Vec<Language>> = LazyLock::new(|| {
            let language = |file: &'static File<'_>| {
                let tag = file.path().file_stem().and_then(OsStr::to_str);
                Some(Language {
                    tag: tag?,
                    source: file.contents_utf8()?,
                })
            };
            let mut all: Vec<Language> = FILES.files().filter_map(language).collect();
            all.sort_by_key(|language| language.tag);
            all
        });
        &ALL
    }

    /// The language for `locale`, a tag such as `pt-BR` or `es_MX`: the same, else one of the
    /// same language, if not of the same country.
    #[must_use]
    pub fn find(locale: &str) -> Option<&'static Self> {
        let primary = |tag: &str| {
            tag.split(['-', '_'])
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let same = |language: &&Self| language.tag.eq_ignore_ascii_case(&locale.replace('_', "-"));
        let near = |language: &&Self| primary(language.tag) == primary(locale);
        Self::all()
            .iter()
            .find(same)
            .or_else(|| Self::all().iter().find(near))
    }

    /// The language that was `chosen`, else the first of `accepted`, an `Accept-Language` header
    /// (RFC 9110 §12.5.4), that is there, else English.
    #[must_use]
    pub fn negotiate(chosen: Option<&str>, accepted: Option<&str>) -> &'static Self {
        let weigh = |range: &str| {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let weight = parameters
                .trim()
                .strip_prefix("q=")
                .map_or(Some(1.0), |q| q.trim().parse().ok());
            Some((
                tag.trim().to_owned(),
                weight.filter(|weight: &f32| *weight > 0.0)?,
            ))
        };
        let mut ranges: Vec<(String, f32)> = accepted
            .unwrap_or_default()
            .split(',')
            .filter_map(weigh)
            .collect();
        ranges.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        chosen
            .and_then(Self::find)
            .or_else(|| ranges.iter().find_map(|(tag, _)| Self::find(tag)))
            .unwrap_or_else(Self::default_language)
    }

    fn default_language() -> &'static Self {
        Self::find(DEFAULT).expect("English is there")
    }

    /// What the language calls itself; read without the rest of the file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let name = self
            .source
            .lines()
            .find_map(|line| line.strip_prefix("language-name = "));
        name.unwrap_or(self.tag)
    }
}

type Bundle = FluentBundle<FluentResource>;

/// Reads the file of `language`.
fn read(language: &Language) -> Bundle {
    let locale: LanguageIdentifier = language.tag.parse().expect("a test reads every tag");
    let messages =
        FluentResource::try_new(language.source.to_owned()).expect("a test reads every file");
    let mut bundle = FluentBundle::new_concurrent(vec![locale]);
    // Marks around each value would end up inside of addresses that people copy.
    bundle.set_use_isolating(false);
    bundle
        .add_resource(messages)
        .expect("a test looks for doubles");
    bundle
}

/// The messages of one language.
pub struct Messages {
    language: &'static Language,
    bundle: &'static Bundle,
}

impl Messages {
    /// The messages for the first of `locales` that is there; English where none is.
    #[must_use]
    pub fn for_locales(locales: [Option<&str>; 2]) -> Self {
        let found = locales.into_iter().flatten().find_map(Language::find);
        Self::of(found.unwrap_or_else(Language::default_language))
    }

    /// Returns the messages in English.
    #[must_use]
    pub fn english() -> Self {
        Self::of(Language::default_language())
    }

    /// The messages of `language`.
    #[must_use]
    pub fn of(language: &'static Language) -> Self {
        // One place for each language, filled when it is first spoken: reading a file costs more
        // than writing a mail.
        static BUNDLES: LazyLock<Vec<OnceLock<Bundle>>> =
            LazyLock::new(|| Language::all().iter().map(|_| OnceLock::new()).collect());
        let is_it = |known: &Language| known.tag == language.tag;
        let index = Language::all().iter().position(is_it);
        let bundle = &BUNDLES[index.expect("one of all")];
        let bundle = bundle.get_or_init(|| read(language));
        Self { language, bundle }
    }

    /// Whose messages they are.
    #[must_use]
    pub fn language(&self) -> &'static Language {
        self.language
    }

    /// The message `id` with `values` filled in.
    #[must_use]
    pub fn text(&self, id: &str, values: &[(&str, &str)]) -> String {
        let values = values
            .iter()
            .map(|(name, value)| (*name, FluentValue::from(*value)))
            .collect();
        self.format(id, &values)
    }

    /// The message `id` with the number `value` filled in as `name`, in the right plural.
    #[must_use]
    pub fn number(&self, id: &str, name: &str, value: i64) -> String {
        let mut values = FluentArgs::new();
        values.set(name, value);
        self.format(id, &values)
    }

    /// `at` as the language writes it, to the minute and in UTC.
    #[must_use]
    pub fn date(&self, at: DateTime<Utc>) -> String {
        let mut values = FluentArgs::new();
        values.set("day", at.day());
        values.set("month", at.month());
        values.set("year", at.year().to_string());
        values.set("time", at.format("%H:%M").to_string());
        self.format("date", &values)
    }

    fn format(&self, id: &str, values: &FluentArgs<'_>) -> String {
        let message = self
            .bundle
            .get_message(id)
            .and_then(|message| message.value());
        let pattern = message.expect("every language has every message, as a test makes sure");
        self.bundle
            .format_pattern(pattern, Some(values), &mut Vec::new())
            .into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The names of a file's messages, each with the values that it fills in.
    fn outline(source: &str) -> BTreeMap<String, Vec<String>> {
        let mut outline = BTreeMap::new();
        let mut current = String::new();
        for line in source.lines().filter(|line| !line.starts_with('#')) {
            if let Some((id, _)) = line.split_once(" = ").filter(|_| !line.starts_with(' ')) {
                id.clone_into(&mut current);
                assert!(
                    outline.insert(current.clone(), Vec::new()).is_none(),
                    "{id} comes twice"
                );
            }
            for value in line.split("{ $").skip(1) {
                let name = value
                    .split(|c: char| !c.is_alphanumeric())
                    .next()
                    .unwrap_or_default();
                outline
                    .entry(current.clone())
                    .or_default()
                    .push(name.to_owned());
            }
        }
        for values in outline.values_mut() {
            values.sort();
            values.dedup();
        }
        outline
    }

    #[test]
    fn every_language_has_the_same_messages_with_the_same_values() {
        let english = outline(Language::default_language().source);
        assert!(english.len() > 10);
        for language in Language::all() {
            let tag = language.tag;
            let messages = Messages::of(language);
            assert_eq!(outline(language.source), english, "{tag}");
            for (id, values) in &english {
                let values: Vec<(&str, &str)> =
                    values.iter().map(|name| (name.as_str(), "VALUE")).collect();
                let text = messages.text(id, &values);
                assert!(
                    !text.is_empty() && !text.contains('{'),
                    "{tag} {id}: {text}"
                );
            }
            assert!(
                ["ltr", "rtl"].contains(&messages.text("direction", &[]).as_str()),
                "{tag}"
            );
            assert_eq!(
                language.name(),
                messages.text("language-name", &[]),
                "{tag}"
            );
        }
    }

    #[test]
    fn every_file_is_a_language() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/messages");
        assert_eq!(
            std::fs::read_dir(folder).expect("is there").count(),
            Language::all().len()
        );
    }

    #[test]
    fn a_locale_finds_its_language() {
        for (locale, tag) in [
            (Some("pt-BR"), "pt-BR"),
            (Some("pt_PT"), "pt-BR"),
            (Some("es"), "es"),
            (Some("ES-mx"), "es"),
            (Some("en-GB"), "en"),
            (Some("tlh"), "en"),
            (Some(""), "en"),
            (None, "en"),
        ] {
            let messages = Messages::for_locales([locale, None]);
            assert_eq!(messages.language().tag, tag, "{locale:?}");
        }
        assert_eq!(
            Messages::for_locales([None, Some("es")]).language().tag,
            "es"
        );
        assert_eq!(
            Messages::for_locales([Some("tlh"), Some("es")])
                .language()
                .tag,
            "es"
        );
    }

    #[test]
    fn a_browser_is_answered_in_the_language_it_likes_best() {
        for (chosen, accepted, tag) in [
            (None, None, "en"),
            (None, Some("es-ES,es;q=0.9,en;q=0.8"), "es"),
            (None, Some("en;q=0.5, pt;q=0.9"), "pt-BR"),
            (None, Some("tlh, es;q=0.1"), "es"),
            (None, Some("es;q=0, *"), "en"),
            (None, Some(";;;,q=,\u{0},es;q=x"), "en"),
            (Some("es"), Some("pt"), "es"),
            (Some("tlh"), Some("pt"), "pt-BR"),
        ] {
            assert_eq!(
                Language::negotiate(chosen, accepted).tag,
                tag,
                "{chosen:?} {accepted:?}"
            );
        }
    }

    #[test]
    fn dates_read_as_people_write_them() {
        let at = DateTime::from_timestamp(1_790_000_000, 0).expect("in range");
        for (locale, date) in [
            ("en", "21 September 2026, 14:13 UTC"),
            ("pt", "21 de setembro de 2026, 14:13 UTC"),
            ("es", "21 de septiembre de 2026, 14:13 UTC"),
            ("fr", "21 septembre 2026 à 14:13 UTC"),
            ("de", "21. September 2026, 14:13 UTC"),
            ("ar", "21 سبتمبر 2026، 14:13 UTC"),
        ] {
            assert_eq!(Messages::for_locales([Some(locale), None]).date(at), date);
        }
    }
}
