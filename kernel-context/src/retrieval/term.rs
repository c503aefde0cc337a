//! Terms as numbers: what postings are looked up by.
//!
//! A term is known by 57 bits of its hash (XXH3, whose output is fixed by its specification). So segments need no
//! dictionary of texts, clones share nothing that changes, and comparing terms is comparing numbers. Among a million
//! distinct terms, two fall together with a chance of one in 300,000; each would then be found by the other.

use std::cell::RefCell;

use xxhash_rust::xxh3::xxh3_64;

/// Labels remembered by each thread: pages of one session have the same speakers and dates.
const LABELS: usize = 1 << 6;
/// Words remembered by each thread: 16 bytes each. English text repeats nearly all of its words within so many.
const REMEMBERED: usize = 1 << 15;

/// How many tags there are.
pub(super) const TAGS: usize = 64;
/// Bits of a term that hold a tag while segments are merged, and are zero otherwise.
const TAG: u64 = TAGS as u64 - 1;
/// The bit of a term that says it is a number.
const IS_NUMBER: u64 = 64;
/// Bits that do not come from the hash.
const FLAGS: u64 = TAG | IS_NUMBER;

/// A term of one field.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Term(u64);

/// Where a term stands: the same word in two fields is two terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    /// In the first lines of a document.
    Title,
    /// Among what is known about a page: who speaks, in which session.
    About,
    /// In its date.
    Date,
}

impl Term {
    /// Stands on each page that holds a number.
    pub(super) const NUMBER: Self = Self(0x5851_F42D_4C95_7F00);
    /// Stands on each page that ends with a question.
    pub(super) const QUESTION: Self = Self(0x1405_7B7E_F767_8100);

    /// A term of the text, as the analyzer gives it.
    pub(super) fn new(text: &str) -> Self {
        let number = text.starts_with(|c: char| c.is_ascii_digit());
        Self(xxh3_64(text.as_bytes()) & !FLAGS | if number { IS_NUMBER } else { 0 })
    }

    /// Whether it stands for a number.
    pub(super) const fn is_number(self) -> bool {
        self.0 & IS_NUMBER != 0
    }

    /// The term with a number below [`TAGS`] in bits that are not its own: sorts by the term first.
    pub(super) const fn tagged(self, tag: u64) -> u64 {
        self.0 | tag
    }

    /// What [`Term::tagged`] made a number of.
    pub(super) const fn untagged(tagged: u64) -> (Self, usize) {
        (Self(tagged & !TAG), (tagged & TAG) as usize)
    }

    /// The same word in another field than the text.
    pub(super) const fn within(self, field: Field) -> Self {
        let mark = match field {
            Field::Title => 0x9E37_79B9_7F4A_7C00,
            Field::About => 0xC2B2_AE3D_27D4_EB00,
            Field::Date => 0x1656_67B1_9E37_7900,
        };
        Self(self.0 ^ mark)
    }
}

thread_local! {
    static MEMO: RefCell<Memo> = const { RefCell::new(Memo { slots: Vec::new() }) };
    static LABELS_MET: RefCell<Labels> = const { RefCell::new(Labels { slots: Vec::new() }) };
}

/// Calls `work` with this thread's memory of labels.
pub(super) fn with_labels<T>(work: impl FnOnce(&mut Labels) -> T) -> T {
    LABELS_MET.with_borrow_mut(|labels| {
        labels.slots.resize(LABELS, (0, Vec::new()));
        work(labels)
    })
}

/// Calls `work` with this thread's memory of words. It changes how fast terms are found, never which.
pub(super) fn with_memo<T>(work: impl FnOnce(&mut Memo) -> T) -> T {
    MEMO.with_borrow_mut(|memo| {
        memo.slots.resize(REMEMBERED / 2, [(0, Term(0)); 2]);
        work(memo)
    })
}

/// The terms of words met before, by the hash of the word as it is written. Two words of one set of slots are remembered,
/// the last one first.
pub(super) struct Memo {
    slots: Vec<[(u64, Term); 2]>,
}

impl Memo {
    /// Appends the terms of `word`; `find` calls what it is given with each. A word is remembered if it has exactly one.
    pub(super) fn term(
        &mut self,
        word: &str,
        out: &mut Vec<Term>,
        find: impl FnOnce(&str, &mut dyn FnMut(&str)),
    ) {
        let hash = xxh3_64(word.as_bytes());
        let set = &mut self.slots[hash as usize % (REMEMBERED / 2)];
        if set[0].0 == hash {
            return out.push(set[0].1);
        }
        if set[1].0 == hash {
            set.swap(0, 1);
            return out.push(set[0].1);
        }
        let before = out.len();
        find(word, &mut |term| out.push(Term::new(term)));
        if let [only] = out[before..] {
            *set = [(hash, only), set[0]];
        }
    }
}

/// The terms of whole strings met before, by their hash.
pub(super) struct Labels {
    slots: Vec<(u64, Vec<Term>)>,
}

impl Labels {
    /// Appends the terms of `label`, which `find` appends to what it is given.
    pub(super) fn terms(&mut self, label: &str, out: &mut Vec<Term>, find: impl FnOnce(&mut Vec<Term>)) {
        let hash = xxh3_64(label.as_bytes());
        let slot = &mut self.slots[hash as usize % LABELS];
        if slot.0 != hash {
            let mut terms = Vec::new();
            find(&mut terms);
            *slot = (hash, terms);
        }
        out.extend_from_slice(&slot.1);
    }
}
