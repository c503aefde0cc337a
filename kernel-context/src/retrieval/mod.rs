//! Finding pages again: an index of one agent's pages, by words, dates, speakers and vectors.

mod clue;
mod dates;
mod embedding;
mod files;
mod forms;
mod fuse;
mod index;
mod lines;
mod merge;
mod part;
mod query;
mod question;
mod search;
mod segment;
mod slots;
mod term;
mod terms;
mod top;
mod vectors;
mod view;
mod window;
mod words;

pub use embedding::Embedding;
pub use index::{Index, IndexedPage, OutOfOrder, Source};
pub use lines::{BestLine, Ranked, best_line, rank_texts};
pub use query::{Hit, Query};
