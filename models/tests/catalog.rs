//! The catalogue is whole, and says what it knows.

use std::collections::HashSet;

use models::catalog::{Purpose, Source, catalog, find, starter};

#[test]
fn names_are_unique_and_fit_a_configuration_file() {
    let names: HashSet<_> = catalog().iter().map(|e| e.name).collect();
    assert_eq!(names.len(), catalog().len());
    for entry in catalog() {
        assert!(entry.name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{}", entry.name);
        assert!(!entry.name.contains('/'), "a name with a slash would be a path");
        assert!(std::ptr::eq(find(entry.name).unwrap(), entry));
    }
}

#[test]
fn every_entry_says_what_it_is_and_where_it_comes_from() {
    for entry in catalog() {
        assert!(
            !entry.about.is_empty() && !entry.licence.is_empty() && !entry.files.is_empty(),
            "{}",
            entry.name
        );
        assert!(entry.size() > 1_000_000, "{}", entry.name);
        let files: HashSet<_> = entry.files.iter().map(|f| f.name).collect();
        assert_eq!(files.len(), entry.files.len(), "{}", entry.name);
        for file in entry.files {
            assert!(!file.name.contains('/') && !file.name.ends_with(".part"), "{}", file.name);
        }
    }
}

#[test]
fn digests_are_digests_and_packages_are_pinned_by_them() {
    let hex = |s: &str| s.len() == 64 && s.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    for entry in catalog() {
        assert!(entry.files.iter().filter_map(|f| f.sha256).all(hex), "{}", entry.name);
        if let Source::Package { sha256, wheel, version, .. } = &entry.source {
            assert!(hex(sha256) && wheel.contains(version), "{}", entry.name);
            assert!(
                entry.files.iter().all(|f| f.sha256.is_some()),
                "{}: a package's files are known",
                entry.name
            );
        }
    }
}

#[test]
fn the_starter_set_is_enough_for_a_conversation_and_needs_no_hub() {
    let purposes: Vec<_> = starter().map(|e| e.purpose).collect();
    for purpose in [Purpose::Stt, Purpose::Turn, Purpose::Llm, Purpose::Tts, Purpose::Runtime] {
        assert_eq!(purposes.iter().filter(|p| **p == purpose).count(), 1, "{purpose:?}");
    }
    assert!(starter().all(|e| matches!(e.source, Source::Package { .. })));
}
