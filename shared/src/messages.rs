//! What people read, by language: one Fluent file each, compiled in.

use chrono::{DateTime, Datelike, Utc};
use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

/// The languages, the default first. To add one, add its file here.
const LANGUAGES: [(&str, &str); 3] = [
    ("en", include_str!("../templates/messages/en.ftl")),
    ("pt-BR", include_str!("../templates/messages/pt-BR.ftl")),
    ("es", include_str!("../templates/messages/es.ftl")),
];

/// The messages of one language.
pub struct Messages {
    tag: &'static str,
    bundle: FluentBundle<FluentResource>,
}

impl Messages {
    /// The messages for `locale`, a tag such as `pt-BR` or `es_MX`: of the same language, if not
    /// of the same country; English for one that is not there.
    #[must_use]
    pub fn for_locale(locale: Option<&str>) -> Self {
        let language = |tag: &str| {
            tag.split(['-', '_'])
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let wanted = locale.map(language).unwrap_or_default();
        let found = LANGUAGES.iter().find(|(tag, _)| language(tag) == wanted);
        let (tag, source) = found.unwrap_or(&LANGUAGES[0]);
        Self::load(tag, source)
    }

    fn load(tag: &'static str, source: &str) -> Self {
        let locale: LanguageIdentifier = tag.parse().expect("a language tag");
        let messages = FluentResource::try_new(source.to_owned()).expect("a test reads every file");
        let mut bundle = FluentBundle::new(vec![locale]);
        // Marks around each value would end up inside of addresses that people copy.
        bundle.set_use_isolating(false);
        bundle
            .add_resource(messages)
            .expect("a test looks for doubles");
        Self { tag, bundle }
    }

    /// The language's tag, for `lang` in HTML.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        self.tag
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

    /// `at` as the language writes it, to the minute and in UTC.
    #[must_use]
    pub fn date(&self, at: DateTime<Utc>) -> String {
        let mut values = FluentArgs::new();
        values.set("day", at.day().to_string());
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
        let english = outline(LANGUAGES[0].1);
        assert!(english.len() > 10);
        for (tag, source) in LANGUAGES {
            let messages = Messages::load(tag, source);
            assert_eq!(outline(source), english, "{tag}");
            for (id, values) in &english {
                let values: Vec<(&str, &str)> =
                    values.iter().map(|name| (name.as_str(), "VALUE")).collect();
                let text = messages.text(id, &values);
                assert!(
                    !text.is_empty() && !text.contains('{'),
                    "{tag} {id}: {text}"
                );
            }
        }
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
            assert_eq!(Messages::for_locale(locale).tag(), tag, "{locale:?}");
        }
    }

    #[test]
    fn dates_read_as_people_write_them() {
        let at = DateTime::from_timestamp(1_790_000_000, 0).expect("in range");
        assert_eq!(
            Messages::for_locale(None).date(at),
            "21 September 2026, 14:13 UTC"
        );
        assert_eq!(
            Messages::for_locale(Some("pt")).date(at),
            "21 de setembro de 2026, 14:13 UTC"
        );
        assert_eq!(
            Messages::for_locale(Some("es")).date(at),
            "21 de septiembre de 2026, 14:13 UTC"
        );
    }
}
