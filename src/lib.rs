//! offhook: a voice gateway that gives AI agents real phone numbers over the operator's own SIP trunk.
//!
//! The modules stand in dependency order: each imports only from those above it (`docs/architecture.md`).

pub mod domain;

pub mod config;

pub mod outside;

pub mod store;

pub mod call;

pub mod gateway;

pub mod dialect;

pub mod jobs;

pub mod http;

pub mod telemetry;

pub mod app;

pub mod phone;

pub mod doctor;

pub mod cli;
