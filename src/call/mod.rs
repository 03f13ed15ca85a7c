//! Live calls: the switchboard that takes them, an actor for each, and the conversation that they hold.

mod actor;
mod bridge;
mod cast;
mod context;
mod conversation;
mod course;
mod directory;
mod ears;
mod exchange;
mod extensions;
mod gate;
mod guards;
mod hunt;
mod ledger;
mod line;
mod messages;
mod meter;
mod music;
mod prompt;
mod queue;
mod reporter;
mod ringback;
mod route;
mod speaker;
mod stock;
mod switchboard;
mod tools;
mod trunks;
mod turn;
mod turn_webhook;
mod voice;

pub use actor::{Persona, Supervise, Transfer, Unattended};
pub use cast::{Cast, NoBrain};
pub use conversation::{Action, Conversation, Deed, Input, Line, Manners, Note, Unsaid};
pub use directory::{Available, Directory, NotANumber, Resolved, Wanted};
pub use exchange::{Exchange, local_ip_towards};
pub use extensions::{ExtensionReport, Extensions, accounts};
pub use guards::{Errand, Funds, Guards, Period, Purse, Refusal};
pub use ledger::{Journal, NotWritten};
pub use line::note as note_line;
pub use messages::{
    Destination, Draft, Kept, NotTaken, Notice, SendError, Text, Undrafted, Way, contact_of,
    read as read_notice, verify as verify_notice,
};
pub use meter::{Meter, watch};
pub use music::Music;
pub use queue::{Full, Hold, Limits, Pace};
pub use route::{Place, RouteError, Waves};
pub use speaker::Unspoken;
pub use switchboard::{PlaceError, Placement, Switchboard, TransferError, Unrecorded, Unsent};
pub use trunks::{Reach, ServerReport, Standing, TrunkReport, Trunks};
pub use turn::{HANG_UP_MARK, Mouth};
