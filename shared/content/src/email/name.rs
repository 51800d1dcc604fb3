//! Names, as an email may show them.

/// Maximum length of a name in an email, in characters.
const MAX_CHARS: usize = 64;

/// Returns `name` on one line, shortened, and without anything that an email program would turn
/// into a link: an attacker can register another person's address under any name. Returns `None` if
/// nothing visible is left.
pub(super) fn harmless(name: &str) -> Option<String> {
    let visible: String = name
        .chars()
        .map(|c| if is_invisible(c) { ' ' } else { c })
        .collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let mut shown = String::new();
    let mut previous = ' ';
    for c in words.join(" ").chars().take(MAX_CHARS) {
        if breaks_links(previous) && !c.is_whitespace() {
            shown.push(' ');
        }
        shown.push(c);
        previous = c;
    }
    (!shown.is_empty()).then_some(shown)
}

/// Returns whether a space after `c` breaks a link: "evil.com" becomes "evil. com", while
/// "J. R. Hartley" stays as it is. The dots are the label separators of UTS #46.
fn breaks_links(c: char) -> bool {
    matches!(c, '.' | '。' | '．' | '｡' | ':' | '/')
}

/// Returns whether `c` is a control character or changes how its neighbours are displayed.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_unchanged() {
        for name in [
            "Ada Lovelace",
            "J. R. Hartley",
            "Siân O'Neill-Łukasz",
            "مريم",
            "李 小龍",
            "Bob & Alice (home)",
        ] {
            assert_eq!(harmless(name).as_deref(), Some(name));
        }
        assert_eq!(harmless(" \u{202e}\n"), None);
        assert_eq!(harmless(&"x".repeat(100)).map(|name| name.len()), Some(64));
    }
}
