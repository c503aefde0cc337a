//! Which texts have a word: an inverted index, with what BM25 needs to know.

use std::collections::{BTreeMap, HashMap};

use crate::vectors::rank::Scored;
use crate::vectors::words::{Corpus, words};

/// The texts of each word, by the slots of their items.
#[derive(Default, Debug)]
pub(super) struct Postings {
    numbers: HashMap<Box<str>, u32>,
    lists: Vec<List>,
    /// Entries of all lists, those of the dead included.
    entries: usize,
}

#[derive(Default, Debug)]
struct List {
    /// How many of the holders are alive.
    live: u32,
    /// Slots and how often the word stands in their texts.
    holders: Vec<(u32, u32)>,
}

impl Postings {
    /// Takes the words of a text in; gives their numbers, for [`Postings::remove`].
    pub(super) fn add(&mut self, slot: u32, words: BTreeMap<String, u32>) -> Box<[u32]> {
        self.entries += words.len();
        let mut add = |(word, count): (String, u32)| {
            let fresh = u32::try_from(self.lists.len()).expect("words of texts in memory are below 2^32");
            let number = *self.numbers.entry(word.into_boxed_str()).or_insert(fresh);
            if number == fresh {
                self.lists.push(List::default());
            }
            let list = &mut self.lists[number as usize];
            list.live += 1;
            list.holders.push((slot, count));
            number
        };
        words.into_iter().map(&mut add).collect()
    }

    /// Counts a text no more. Its entries stay until [`Postings::compact`].
    pub(super) fn remove(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.lists[*number as usize].live -= 1;
        }
    }

    /// Gives the slots their new numbers; entries of slots that have none go.
    pub(super) fn compact(&mut self, renumbered: &[Option<u32>]) {
        self.entries = 0;
        for list in &mut self.lists {
            list.holders.retain_mut(|(slot, _)| match renumbered[*slot as usize] {
                Some(fresh) => {
                    *slot = fresh;
                    true
                }
                None => false,
            });
            self.entries += list.holders.len();
        }
    }

    /// The worth of each text that has a word of `text` and may be found.
    pub(super) fn find(
        &self,
        text: &str,
        corpus: Corpus,
        length: impl Fn(u32) -> u32,
        may: &[bool],
    ) -> Vec<Scored<u32>> {
        let mut worth = vec![0.0; may.len()];
        let mut found = Vec::new();
        for word in words(text).keys() {
            let Some(number) = self.numbers.get(word.as_str()) else { continue };
            let list = &self.lists[*number as usize];
            for (slot, count) in list.holders.iter().filter(|(slot, _)| may[*slot as usize]) {
                let sum: &mut f64 = &mut worth[*slot as usize];
                // No word is worth nothing, so a sum of zero was not looked at before.
                if *sum == 0.0 {
                    found.push(*slot);
                }
                *sum += corpus.worth(u64::from(list.live), *count, length(*slot));
            }
        }
        found.into_iter().map(|slot| (slot, worth[slot as usize])).collect()
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        /// A word, its number and its list without the holders.
        const WORD: usize = 100;
        self.entries * size_of::<(u32, u32)>() + self.lists.len() * WORD
    }
}
