//! Live calls: the switchboard that takes them, an actor for each, and the conversation that they hold.

mod actor;
mod conversation;
mod ears;
mod extensions;
mod hunt;
mod ledger;
mod messages;
mod prompt;
mod route;
mod switchboard;
mod trunks;
mod turn;

pub use actor::Persona;
pub use conversation::{Action, Conversation, Input, Line, Manners, Note};
pub use extensions::{ExtensionReport, Extensions, accounts};
pub use ledger::Journal;
pub use messages::{Destination, Draft, SendError};
pub use route::{Place, RouteError};
pub use switchboard::{Exchange, PlaceError, Placement, Switchboard, local_ip_towards};
pub use trunks::{Reach, ServerReport, Standing, TrunkReport, Trunks};
pub use turn::{HANG_UP_MARK, Mouth};
