//! Messages, from one Fluent file per language.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock, OnceLock},
};

use askama::filters::{Html, escape};
use chrono::{DateTime, Datelike, Utc};
use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use unic_langid::LanguageIdentifier;

use crate::language::Language;

/// The messages of one language.
pub struct Messages {
    language: &'static Language,
    bundles: &'static Bundles,
}

impl Messages {
    /// Returns the messages in the first available language of `locales`, else in English.
    #[must_use]
    pub fn for_locales(locales: [Option<&str>; 2]) -> Self {
        let available = locales.into_iter().flatten().find_map(Language::find);
        Self::of(available.unwrap_or_else(Language::english))
    }

    /// Returns the messages in English.
    #[must_use]
    pub fn english() -> Self {
        Self::of(Language::english())
    }

    /// Returns the messages in `language`.
    #[must_use]
    pub fn of(language: &'static Language) -> Self {
        // Each language is parsed once, when it is first used: parsing a file costs more than
        // writing an email.
        static BUNDLES: LazyLock<Vec<OnceLock<Bundles>>> =
            LazyLock::new(|| Language::all().iter().map(|_| OnceLock::new()).collect());
        let index = Language::all().iter().position(|known| known == language);
        let bundles = &BUNDLES[index.expect("a known language")];
        Self {
            language,
            bundles: bundles.get_or_init(|| Bundles::parse(language)),
        }
    }

    /// Returns the language of the messages.
    #[must_use]
    pub fn language(&self) -> &'static Language {
        self.language
    }

    /// Formats the message `id` with `values`.
    #[must_use]
    pub fn text(&self, id: &str, values: &[(&str, &str)]) -> String {
        format(&self.bundles.text, id, &arguments(values))
    }

    /// Formats the message `id` as HTML. Only the message's own words are escaped: `values` must be
    /// HTML already.
    #[must_use]
    pub fn html(&self, id: &str, values: &[(&str, &str)]) -> String {
        format(&self.bundles.html, id, &arguments(values))
    }

    /// Formats the message `id` with the number `value` as `name`, in the right plural form.
    #[must_use]
    pub fn number(&self, id: &str, name: &str, value: i64) -> String {
        let mut values = FluentArgs::new();
        values.set(name, value);
        format(&self.bundles.text, id, &values)
    }

    /// Formats `at` to the minute, in UTC.
    #[must_use]
    pub fn date(&self, at: DateTime<Utc>) -> String {
        let mut values = FluentArgs::new();
        values.set("day", at.day());
        values.set("month", at.month());
        values.set("year", at.year().to_string());
        values.set("time", at.format("%H:%M").to_string());
        format(&self.bundles.text, "date", &values)
    }
}

type Bundle = FluentBundle<Arc<FluentResource>>;

/// The same messages for plain text and for HTML.
struct Bundles {
    text: Bundle,
    html: Bundle,
}

impl Bundles {
    fn parse(language: &Language) -> Self {
        let messages = Arc::new(parse(language));
        let mut html = bundle(language, messages.clone());
        html.set_transform(Some(escape_words));
        Self {
            text: bundle(language, messages),
            html,
        }
    }
}

/// Parses the file of `language`; a syntax error is named with its file and line.
fn parse(language: &Language) -> FluentResource {
    FluentResource::try_new(language.source.to_owned()).unwrap_or_else(|(_, errors)| {
        let (tag, source) = (language.tag, language.source);
        let line = |position: usize| source[..position].lines().count();
        let errors = errors
            .iter()
            .map(|error| format!("{tag}.ftl:{}: {}", line(error.pos.start), error.kind));
        panic!("{}", errors.collect::<Vec<_>>().join("; "))
    })
}

fn bundle(language: &Language, messages: Arc<FluentResource>) -> Bundle {
    let locale: LanguageIdentifier = language.tag.parse().expect("a test parses every tag");
    let mut bundle = FluentBundle::new_concurrent(vec![locale]);
    // Isolation marks around values would end up inside the addresses that people copy.
    bundle.set_use_isolating(false);
    bundle
        .add_resource(messages)
        .expect("a test finds duplicates");
    bundle
}

/// Escapes words of a message exactly as the templates do.
fn escape_words(words: &str) -> Cow<'_, str> {
    let Ok(escaped) = escape(words, Html);
    escaped.to_string().into()
}

fn arguments<'a>(values: &[(&'a str, &'a str)]) -> FluentArgs<'a> {
    values
        .iter()
        .map(|(name, value)| (*name, FluentValue::from(*value)))
        .collect()
}

fn format(bundle: &Bundle, id: &str, values: &FluentArgs<'_>) -> String {
    let pattern = bundle.get_message(id).and_then(|message| message.value());
    let pattern = pattern.expect("a test requires every message in every language");
    bundle
        .format_pattern(pattern, Some(values), &mut Vec::new())
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Returns the ids of a file's messages, each with the names of its values.
    fn outline(source: &str) -> BTreeMap<String, Vec<String>> {
        let mut outline = BTreeMap::new();
        let mut current = String::new();
        for line in source.lines().filter(|line| !line.starts_with('#')) {
            if let Some((id, _)) = line.split_once(" = ").filter(|_| !line.starts_with(' ')) {
                id.clone_into(&mut current);
                assert!(
                    outline.insert(current.clone(), Vec::new()).is_none(),
                    "duplicate message {id}"
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
        let english = outline(Language::english().source);
        assert!(english.len() > 10);
        for language in Language::all() {
            let tag = language.tag;
            let messages = Messages::of(language);
            let own = outline(language.source);
            for id in own.keys() {
                assert!(
                    english.contains_key(id),
                    "{tag}.ftl: en.ftl has no message {id}"
                );
            }
            for (id, values) in &english {
                let found = own.get(id);
                let found =
                    found.unwrap_or_else(|| panic!("{tag}.ftl: the message {id} is missing"));
                assert_eq!(found, values, "{tag}.ftl: the values of {id}");
            }
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
    fn html_escapes_the_words_of_a_message_but_not_its_values() {
        let bundles = Bundles::parse(&Language {
            tag: "en",
            source: "greeting = Tom's { $count ->\n  [one] <one>\n *[other] \"many\"\n} & { $name }",
        });
        let values = arguments(&[("count", "1"), ("name", "<bdi>Ada</bdi>")]);
        assert_eq!(
            format(&bundles.html, "greeting", &values),
            "Tom&#39;s &#34;many&#34; &#38; <bdi>Ada</bdi>"
        );
        assert_eq!(
            format(&bundles.text, "greeting", &values),
            "Tom's \"many\" & <bdi>Ada</bdi>"
        );
    }

    #[test]
    fn messages_are_in_the_first_available_language() {
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
    fn dates_follow_the_conventions_of_the_language() {
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
