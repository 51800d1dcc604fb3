//! The languages of pages and emails.

use std::{ffi::OsStr, sync::LazyLock};

use include_dir::{Dir, File, include_dir};

/// One file per language, named after its tag. `build.rs` rebuilds this crate when a file is added.
static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../templates/messages");

/// The language used if no preference is known.
const DEFAULT: &str = "en";

/// A language with a message file.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// Tag of the language, for `lang` in HTML.
    pub tag: &'static str,
    /// The message file, in Fluent's syntax.
    pub(crate) source: &'static str,
}

impl Language {
    /// Returns all languages, sorted by tag.
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

    /// Returns English.
    #[must_use]
    pub fn english() -> &'static Self {
        Self::find(DEFAULT).expect("English has a file")
    }

    /// Finds the language for `locale`, a tag such as `pt-BR` or `es_MX`: the exact match, else the
    /// same language of another region.
    #[must_use]
    pub fn find(locale: &str) -> Option<&'static Self> {
        let primary = |tag: &str| {
            tag.split(['-', '_'])
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let is_same =
            |language: &&Self| language.tag.eq_ignore_ascii_case(&locale.replace('_', "-"));
        let is_related = |language: &&Self| primary(language.tag) == primary(locale);
        Self::all()
            .iter()
            .find(is_same)
            .or_else(|| Self::all().iter().find(is_related))
    }

    /// Returns the language `chosen`, else the best available one of `accepted`, an
    /// `Accept-Language` header (RFC 9110 §12.5.4), else English.
    #[must_use]
    pub fn negotiate(chosen: Option<&str>, accepted: Option<&str>) -> &'static Self {
        let mut ranges: Vec<(&str, f32)> = accepted
            .unwrap_or_default()
            .split(',')
            .filter_map(parse_range)
            .collect();
        ranges.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        chosen
            .and_then(Self::find)
            .or_else(|| ranges.iter().find_map(|(tag, _)| Self::find(tag)))
            .unwrap_or_else(Self::english)
    }

    /// Returns the language's name for itself, without parsing the whole file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let name = self
            .source
            .lines()
            .find_map(|line| line.strip_prefix("language-name = "));
        name.unwrap_or(self.tag)
    }
}

/// Parses one element of `Accept-Language` into its tag and its weight. Returns `None` if the
/// weight is malformed or zero.
fn parse_range(range: &str) -> Option<(&str, f32)> {
    let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
    let weight = parameters
        .trim()
        .strip_prefix("q=")
        .map_or(Some(1.0), |q| q.trim().parse().ok());
    let weight = weight.filter(|weight: &f32| *weight > 0.0)?;
    Some((tag.trim(), weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_language() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/messages");
        let files = std::fs::read_dir(folder).expect("readable");
        assert_eq!(files.count(), Language::all().len());
        for Language { tag, .. } in Language::all() {
            assert!(!tag.contains('_'), "{tag}.ftl: write the tag with a hyphen");
        }
    }

    #[test]
    fn the_browsers_preferred_language_wins_unless_one_is_chosen() {
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
}
