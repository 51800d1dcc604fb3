//! The whole system on one machine.
//!
//! It runs the same functions as Lambda, and small versions of what AWS provides around them: the
//! gateway, DynamoDB with its stream, the pipe and the queue, and SES.

mod atomic_file;
pub mod database;
pub mod demo;
mod demo_account;
pub mod event_source;
pub mod gateway;
pub mod inbox;
pub mod mail_queue;
pub mod pipe;
pub mod runserver;
mod ses;
mod simulator;
pub mod stream_record;
pub mod system;
