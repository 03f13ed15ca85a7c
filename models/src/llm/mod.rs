//! Minds: one in a process of ours, or one behind an HTTP address.

mod calls;
mod fallback;
mod grammar;
pub mod local;
pub mod remote;

pub use fallback::Fallback;
