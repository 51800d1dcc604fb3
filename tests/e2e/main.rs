//! Outcome-to-end tests: every test drives the real functions over the real protocols.

mod admin;
mod attacks;
mod breaches;
mod commands;
mod costs;
mod crashes;
mod doctor;
mod faults;
mod http;
mod journey;
mod lambda;
mod logs;
mod mailer;
mod model;
mod openapi;
mod outcomes;
mod pressure;
mod recipes;
mod users;
