//! Live calls: the switchboard that takes them, an actor for each, and the conversation that they hold.

mod actor;
mod bridge;
mod conversation;
mod ears;
mod extensions;
mod hunt;
mod ledger;
mod messages;
mod prompt;
mod queue;
mod ringback;
mod route;
mod switchboard;
mod trunks;
mod turn;

pub use actor::{Persona, Transfer};
pub use conversation::{Action, Conversation, Input, Line, Manners, Note};
pub use extensions::{ExtensionReport, Extensions, accounts};
pub use ledger::Journal;
pub use messages::{Destination, Draft, SendError};
pub use queue::{Full, Hold, Limits, Pace};
pub use route::{Place, RouteError, Waves};
pub use switchboard::{Exchange, PlaceError, Placement, Switchboard, TransferError, local_ip_towards};
pub use trunks::{Reach, ServerReport, Standing, TrunkReport, Trunks};
pub use turn::{HANG_UP_MARK, Mouth};
