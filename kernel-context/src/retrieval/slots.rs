//! A set of slots that knows each one's rank.

/// Bits in a word.
const BITS: usize = u64::BITS as usize;

/// Slots in ascending order, found in constant time.
pub(super) struct Slots {
    words: Vec<u64>,
    /// How many slots are before each word.
    before: Vec<u32>,
}

impl Slots {
    /// The set of `slots`, all below `end`.
    pub(super) fn new(end: usize, slots: impl Iterator<Item = usize>) -> Self {
        let mut words = vec![0_u64; end.div_ceil(BITS)];
        slots.for_each(|slot| words[slot / BITS] |= 1 << (slot % BITS));
        let mut sum = 0;
        let count = |word: &u64| {
            sum += word.count_ones();
            sum - word.count_ones()
        };
        let before = words.iter().map(count).collect();
        Self { words, before }
    }

    pub(super) fn len(&self) -> usize {
        let last = self.words.last().map_or(0, |word| word.count_ones());
        self.before.last().map_or(0, |before| (before + last) as usize)
    }

    /// How many slots of the set are before this one, if it is in the set.
    pub(super) fn rank(&self, slot: usize) -> Option<u32> {
        let (word, bit) = (self.words[slot / BITS], 1 << (slot % BITS));
        (word & bit != 0).then(|| self.before[slot / BITS] + (word & (bit - 1)).count_ones())
    }

    /// The slots, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let rest = std::iter::successors(Some(*word), |rest| Some(rest & rest.wrapping_sub(1)));
            let bits = rest.take_while(|rest| *rest != 0).map(|rest| rest.trailing_zeros() as usize);
            bits.map(move |bit| at * BITS + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_follow_the_order() {
        let given = [700, 3, 64, 63, 3, 0, 128, 699];
        let slots = Slots::new(701, given.into_iter());
        let order: Vec<usize> = slots.iter().collect();
        assert_eq!(order, [0, 3, 63, 64, 128, 699, 700]);
        assert_eq!(slots.len(), order.len());
        for slot in 0..701 {
            let rank = order.iter().position(|known| *known == slot).map(|rank| rank as u32);
            assert_eq!(slots.rank(slot), rank, "slot {slot}");
        }
        assert_eq!(Slots::new(0, std::iter::empty()).len(), 0);
    }
}
