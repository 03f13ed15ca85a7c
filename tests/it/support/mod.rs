//! [`World`]: a gateway with scripted models. [`Caller`]: a softphone. [`Pager`]: a phone for messages.

mod caller;
mod pager;
mod world;

pub(crate) use caller::{Caller, prompt};
pub(crate) use pager::Pager;
pub(crate) use world::{NUMBER, Setting, World};
