//! Counts of short pieces, remembered by each thread.
//!
//! Words come again: most pieces of a text are found in the table, for a small part of what counting them costs. Pieces
//! are compared byte by byte, so a count is exact or not there.

use std::cell::RefCell;

use bpe_openai::Tokenizer;

use super::{Vocabulary, pieces};

/// Longest piece that is remembered, in bytes.
const LONGEST: usize = 15;
/// log2 of the sets of a memo. 8,192 of two entries are 256 KiB, half of a usual second-level cache.
const BITS: u32 = 13;

thread_local! {
    /// A memo for each vocabulary, made when first needed.
    static MEMOS: RefCell<[Option<Memo>; 2]> = const { RefCell::new([None, None]) };
}

/// The tokens of `text`, as [`Tokenizer::count`] counts them.
pub(super) fn count(vocabulary: Vocabulary, text: &str) -> u64 {
    let tokenizer = vocabulary.tokenizer();
    let remembered = MEMOS.try_with(|memos| {
        let mut memos = memos.borrow_mut();
        let memo = memos[vocabulary as usize].get_or_insert_with(Memo::new);
        let mut sum = 0;
        pieces::each(text, |start, end| sum += memo.count(tokenizer, text, start, end));
        sum
    });
    // A thread that is ending has no memo any more.
    remembered.unwrap_or_else(|_| tokenizer.count(text) as u64)
}

/// A table of sets of two entries, the one used last first; a new entry replaces the other one.
struct Memo(Box<[[Entry; 2]]>);

/// A piece and its count: the bytes, zeros up to the sixteenth, in that its length and above that its count, of four bits
/// each. A piece of 15 bytes has at most 15 tokens. No piece is empty, so an entry of 0 is none.
type Entry = u128;

const PIECE: Entry = (1 << COUNT) - 1;
const LENGTH: u32 = 120;
const COUNT: u32 = 124;

impl Memo {
    fn new() -> Self {
        Self(vec![[0; 2]; 1 << BITS].into_boxed_slice())
    }

    fn count(&mut self, tokenizer: &Tokenizer, text: &str, start: usize, end: usize) -> u64 {
        if end - start > LONGEST {
            return tokenizer.count(&text[start..end]) as u64;
        }
        let piece = piece(text.as_bytes(), start, end);
        let [last, other] = &mut self.0[set(piece)];
        if *last & PIECE != piece {
            std::mem::swap(last, other);
            if *last & PIECE != piece {
                *last = piece | (tokenizer.count(&text[start..end]) as Entry) << COUNT;
            }
        }
        (*last >> COUNT) as u64
    }
}

/// The entry of a piece, without its count.
fn piece(bytes: &[u8], start: usize, end: usize) -> Entry {
    let length = end - start;
    let padded = bytes[start..].first_chunk::<16>().copied().unwrap_or_else(|| {
        let mut padded = [0; 16];
        padded[..length].copy_from_slice(&bytes[start..end]);
        padded
    });
    let kept = u128::from_le_bytes(padded) & ((1 << (8 * length)) - 1);
    kept | (length as Entry) << LENGTH
}

/// The set of a piece: a hash of its bytes and its length.
fn set(piece: Entry) -> usize {
    let (low, high) = (piece as u64, (piece >> 64) as u64);
    let mixed = (low ^ high.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 32) ^ high).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> (u64::BITS - BITS)) as usize
}
