//! The operator's command, and the whole system on one machine.
//!
//! The functions are the ones that Lambda runs; what AWS would provide around them is here in
//! small: the gateway, DynamoDB and its stream, SES.

mod admin;
pub mod cli;
pub mod database;
pub mod demo;
mod doctor;
pub mod exit;
pub mod gateway;
pub mod inbox;
pub mod local;
pub mod pump;
pub mod refusals;
pub mod runserver;
mod ses;
mod session;
mod simulator;
mod stack;
pub mod tables;
mod transfer;
mod unsent;
pub mod users;
