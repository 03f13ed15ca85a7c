//! Live calls: the switchboard that takes them, an actor for each, and the conversation that they hold.

mod actor;
mod conversation;
mod ears;
mod ledger;
mod messages;
mod prompt;
mod switchboard;
mod trunks;
mod turn;

pub use actor::Persona;
pub use conversation::{Action, Conversation, Input, Line, Manners, Note};
pub use ledger::Journal;
pub use messages::{Draft, SendError};
pub use switchboard::{Exchange, PlaceError, Placement, Switchboard, local_ip_towards};
pub use trunks::{Standing, Trunks, address_of, credentials};
pub use turn::{HANG_UP_MARK, Mouth};
