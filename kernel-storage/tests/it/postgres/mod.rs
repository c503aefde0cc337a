//! What only PostgreSQL can do or suffer.

mod arrivals;
mod commits;
mod crash;
mod errors;
mod lost;
pub(crate) mod place;
mod proxy;
mod server;
mod sweep;
