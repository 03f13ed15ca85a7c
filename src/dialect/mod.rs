//! The vocabularies of other services: what their programs send and read, in terms of our own nouns. Words alone: no IO, and no
//! decision that the gateway does not make for everybody.
//!
//! `docs/dialects.md` tells for each service what its document says, and what had to be guessed.

pub mod agentnumber;
