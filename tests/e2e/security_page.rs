//! Checks that every test named in docs/security.md exists.

use std::{fs, path::Path};

/// Returns the file, and the test in it if there is one, that `name` in docs/security.md means.
fn locate(name: &str) -> Option<(String, Option<&str>)> {
    let words: Vec<&str> = name.split("::").collect();
    match words[..] {
        [path] if path.starts_with("tests/") => Some((path.to_owned(), None)),
        [crate_name, module, "tests", test] => {
            Some((format!("shared/{crate_name}/src/{module}.rs"), Some(test)))
        }
        [module, test] if test.contains('_') => {
            Some((format!("tests/e2e/{module}.rs"), Some(test)))
        }
        _ => None,
    }
}

#[test]
fn every_test_named_in_the_security_page_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| {
        let text = fs::read_to_string(root.join(path));
        text.unwrap_or_else(|error| panic!("{path}, named in docs/security.md: {error}"))
    };
    let document = read("docs/security.md");
    // Every second piece is between backticks.
    let tables = document.split_once("## Who").expect("a heading").1;
    let places: Vec<_> = tables
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(locate)
        .collect();
    for (path, test) in &places {
        let text = read(path);
        if let Some(test) = test {
            let function = format!("fn {test}(");
            assert!(text.contains(&function), "no {test} in {path}");
        }
    }
    for row in 1..=28 {
        let prefix = format!("attack_{row:02}_");
        let has_test = |(_, test): &(_, Option<&str>)| test.is_some_and(|t| t.starts_with(&prefix));
        assert!(places.iter().any(has_test), "no test of attack {row}");
    }
}
