//! [`World`]: a gateway with scripted models. [`Caller`]: a softphone.

mod caller;
mod world;

pub(crate) use caller::{Caller, prompt};
pub(crate) use world::{NUMBER, Setting, World};
