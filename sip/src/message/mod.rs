//! SIP messages and the typed parts of them.

mod name_addr;
mod params;
mod scan;
mod uri;

pub use name_addr::NameAddr;
pub use params::Params;
pub use uri::{Host, SipUri, TelUri, Uri};

pub(crate) use scan::quote;
