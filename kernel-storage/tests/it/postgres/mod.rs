//! What only PostgreSQL can do or suffer.

pub(crate) mod place;
