//! `[dialect.…]`: what the operator tells about other services' vocabularies.

use std::collections::BTreeMap;

use super::file::Section;

#[derive(Clone, PartialEq, Default, Debug)]
pub struct Dialects {
    pub agentnumber: Agentnumber,
}

#[derive(Clone, PartialEq, Default, Debug)]
pub struct Agentnumber {
    /// A hosted vendor's voice id to the name of a voice on this box.
    pub voices: BTreeMap<String, String>,
}

pub(super) fn dialects(s: Section) -> Dialects {
    let dialects = Dialects { agentnumber: agentnumber(s.section("agentnumber")) };
    s.finish();
    dialects
}

fn agentnumber(s: Section) -> Agentnumber {
    let agentnumber = Agentnumber { voices: s.table("voices").into_iter().collect() };
    s.finish();
    agentnumber
}
