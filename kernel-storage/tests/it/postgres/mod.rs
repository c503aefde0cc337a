//! What only PostgreSQL can do or suffer.

mod arrivals;
mod commits;
mod crash;
mod errors;
mod kill;
mod lost;
mod memory;
pub(crate) mod place;
mod points;
mod proxy;
mod server;
mod sweep;
