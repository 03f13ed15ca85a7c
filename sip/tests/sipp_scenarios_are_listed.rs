//! The folder of scenarios, its index and the tests that play them say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Fewer would leave a behaviour unproven that was proven before.
const FEWEST: usize = 150;

#[test]
fn every_scenario_is_listed_and_played() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("../tests/interop/sipp");
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            files.insert(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    let index = fs::read_to_string(folder.join("README.md")).expect("the index");
    let mut listed = BTreeSet::new();
    let mut test = String::new();
    for line in index.lines() {
        // Each heading names the file whose tests play what stands below it.
        if let Some((_, file)) = line.strip_prefix("## ").and_then(|heading| heading.split_once(": `")) {
            test = fs::read_to_string(here.join("..").join(file.trim_end_matches('`'))).expect("a test file");
        }
        if let Some((name, _)) = line.strip_prefix("| `").and_then(|row| row.split_once(".xml` | ")) {
            assert!(test.contains(&format!("\"{name}\"")), "{name} is not played where the index says");
            assert!(listed.insert(name.to_owned()), "{name} is listed twice");
        }
    }
    assert_eq!(files, listed, "the folder, and what its README lists");
    assert!(files.len() >= FEWEST, "only {} scenarios", files.len());
}
