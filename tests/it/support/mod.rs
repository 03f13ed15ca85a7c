//! [`Api`]: a client of the HTTP interface. [`World`]: a gateway with scripted models. [`Caller`]: a softphone. [`Pager`]: a phone for messages.
//! [`Endpoint`]: a client's endpoint of webhooks. [`Carrier`]: one that speaks HTTP.
//! [`Peer`]: a phone that does what it is told. [`Server`]: a carrier that refuses.

mod api;
mod caller;
mod carrier;
mod endpoint;
mod pager;
mod peer;
mod server;
mod world;

pub(crate) use api::Api;
pub(crate) use caller::{Caller, prompt};
pub(crate) use carrier::{Carrier, Reply};
pub(crate) use endpoint::{Endpoint, Received};
pub(crate) use pager::Pager;
pub(crate) use peer::{Peer, share_of};
pub(crate) use server::Server;
pub(crate) use world::{NUMBER, Setting, World};
