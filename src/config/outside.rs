//! `[outside]`: where URLs that clients supply may lead.

use ipnet::IpNet;

use super::file::Section;

/// For the addresses that clients of the API give us to call: webhooks, and brains of agents. What stands in the configuration
/// itself is the operator's word, and goes wherever it says.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Outside {
    /// Networks that such a URL may lead to although they lie inside.
    pub allow: Vec<IpNet>,
}

pub(super) fn outside(s: Section) -> Outside {
    let outside = Outside { allow: s.all_parsed("allow", &[], "a network, as in \"10.1.0.0/16\"") };
    s.finish();
    outside
}
