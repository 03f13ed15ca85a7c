//! Minds: one in a process of ours, or one behind an HTTP address.

pub mod local;
pub mod remote;
