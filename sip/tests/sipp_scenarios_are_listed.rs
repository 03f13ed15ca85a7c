//! The folder of scenarios, its index and the tests that play them say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Fewer would leave a behaviour unproven that was proven before.
const FEWEST: usize = 40;

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
    let rows = index.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(".xml` | "));
    let listed: BTreeSet<_> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(files, listed, "the folder, and what its README lists");
    assert!(files.len() >= FEWEST, "only {} scenarios", files.len());

    let mut tests = String::new();
    for entry in fs::read_dir(here.join("tests")).expect("the tests") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sipp_")) {
            tests.push_str(&fs::read_to_string(path).expect("a test"));
        }
    }
    let unplayed: Vec<_> = files.iter().filter(|name| !tests.contains(&format!("\"{name}\""))).collect();
    assert!(unplayed.is_empty(), "no test plays {unplayed:?}");
}
