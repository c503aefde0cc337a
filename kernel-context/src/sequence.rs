//! `Sequence`: a persistent list with sums, for page tables and windows that fork.
//!
//! A radix tree of shared nodes (Bagwell and Rompf, *RRB-Trees*, 2011, without the relaxation: nothing is spliced here).
//! Copies share all nodes; a write to a shared node copies the path to it. Each node knows the weight below it, so that the
//! weight of a prefix takes as long as reading an element.

use std::sync::Arc;

const BITS: u32 = 5;
const FANOUT: usize = 1 << BITS;

/// What an element adds to the sums.
pub(crate) trait Weigh {
    fn weight(&self) -> u64;
}

#[derive(Clone)]
enum Node<T> {
    Leaf(Vec<T>),
    Inner(Vec<(u64, Arc<Node<T>>)>),
}

/// A list. Cloning is O(1); reading, writing, appending and sums of prefixes are O(log n).
#[derive(Clone)]
pub(crate) struct Sequence<T> {
    root: Arc<Node<T>>,
    /// Bits of an index that the levels above the leaves use.
    shift: u32,
    len: usize,
    total: u64,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), shift: 0, len: 0, total: 0 }
    }
}

impl<T: Clone + Weigh> Sequence<T> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The weight of all elements.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        if at >= self.len {
            return None;
        }
        leaf(&self.root, self.shift, at).get(at % FANOUT)
    }

    /// Changes an element in place; `None` if there is none.
    pub(crate) fn update<R>(&mut self, at: usize, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        if at >= self.len {
            return None;
        }
        let (result, delta) = update(Arc::make_mut(&mut self.root), self.shift, at, change);
        self.total = self.total.wrapping_add(delta);
        Some(result)
    }

    pub(crate) fn push(&mut self, element: T) {
        let weight = element.weight();
        if self.len == FANOUT << self.shift {
            let root = std::mem::replace(&mut self.root, Arc::new(Node::Leaf(Vec::new())));
            self.root = Arc::new(Node::Inner(vec![(self.total, root)]));
            self.shift += BITS;
        }
        push(Arc::make_mut(&mut self.root), self.shift, self.len, element);
        self.len += 1;
        self.total += weight;
    }

    /// The weight of the first `count` elements.
    pub(crate) fn prefix(&self, count: usize) -> u64 {
        if count >= self.len {
            return self.total;
        }
        let (mut node, mut shift, mut sum) = (&*self.root, self.shift, 0);
        loop {
            match node {
                Node::Leaf(elements) => {
                    return sum + elements.iter().take(count % FANOUT).map(Weigh::weight).sum::<u64>();
                }
                Node::Inner(children) => {
                    let child = (count >> shift) % FANOUT;
                    sum += children[..child].iter().map(|(weight, _)| weight).sum::<u64>();
                    node = &children[child].1;
                    shift -= BITS;
                }
            }
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.iter_from(0)
    }

    pub(crate) fn iter_from(&self, start: usize) -> impl DoubleEndedIterator<Item = &T> {
        let first = start / FANOUT;
        let leaves = self.len.div_ceil(FANOUT);
        (first..leaves).flat_map(move |number| {
            let elements = leaf(&self.root, self.shift, number * FANOUT);
            let skip = if number == first { start % FANOUT } else { 0 };
            elements.get(skip..).unwrap_or_default().iter()
        })
    }
}

impl<T: Clone + Weigh> FromIterator<T> for Sequence<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut sequence = Self::default();
        elements.into_iter().for_each(|element| sequence.push(element));
        sequence
    }
}

fn leaf<T>(root: &Node<T>, mut shift: u32, at: usize) -> &[T] {
    let mut node = root;
    loop {
        match node {
            Node::Leaf(elements) => return elements,
            Node::Inner(children) => {
                let Some((_, child)) = children.get((at >> shift) % FANOUT) else { return &[] };
                node = child;
                shift -= BITS;
            }
        }
    }
}

/// Changes one element; answers the change of its weight too, modulo 2^64.
fn update<T: Clone + Weigh, R>(
    node: &mut Node<T>,
    shift: u32,
    at: usize,
    change: impl FnOnce(&mut T) -> R,
) -> (R, u64) {
    match node {
        Node::Leaf(elements) => {
            let element = &mut elements[at % FANOUT];
            let before = element.weight();
            let result = change(element);
            (result, element.weight().wrapping_sub(before))
        }
        Node::Inner(children) => {
            let (weight, child) = &mut children[(at >> shift) % FANOUT];
            let (result, delta) = update(Arc::make_mut(child), shift - BITS, at, change);
            *weight = weight.wrapping_add(delta);
            (result, delta)
        }
    }
}

fn push<T: Clone + Weigh>(node: &mut Node<T>, shift: u32, at: usize, element: T) {
    match node {
        Node::Leaf(elements) => {
            elements.reserve_exact(FANOUT - elements.len());
            elements.push(element);
        }
        Node::Inner(children) => match children.get_mut((at >> shift) % FANOUT) {
            Some((weight, child)) => {
                *weight += element.weight();
                push(Arc::make_mut(child), shift - BITS, at, element);
            }
            None => children.push((element.weight(), Arc::new(path(shift - BITS, element)))),
        },
    }
}

/// A new branch down to one element.
fn path<T: Weigh>(shift: u32, element: T) -> Node<T> {
    if shift == 0 {
        let mut elements = Vec::with_capacity(FANOUT);
        elements.push(element);
        return Node::Leaf(elements);
    }
    Node::Inner(vec![(element.weight(), Arc::new(path(shift - BITS, element)))])
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for u64 {
        fn weight(&self) -> u64 {
            *self
        }
    }

    fn check(sequence: &Sequence<u64>, model: &[u64]) {
        assert_eq!(sequence.len(), model.len());
        assert!(sequence.iter().eq(model), "elements in order");
        assert!(sequence.iter().rev().eq(model.iter().rev()), "and backwards");
        assert_eq!(sequence.total(), model.iter().sum::<u64>());
        for at in (0..=model.len()).step_by(7).chain([model.len(), model.len() + 1]) {
            assert_eq!(sequence.get(at), model.get(at));
            let count = at.min(model.len());
            assert_eq!(sequence.prefix(at), model[..count].iter().sum::<u64>(), "the first {at}");
            assert!(sequence.iter_from(at).eq(&model[count..]));
        }
    }

    #[test]
    fn a_sequence_is_a_list_with_sums() {
        let (mut sequence, mut model) = (Sequence::default(), Vec::new());
        for n in 0..40_000_u64 {
            sequence.push(n % 97);
            model.push(n % 97);
            if n % 3 == 0 {
                let at = usize::try_from(n * 7919 % (n + 1)).unwrap();
                assert_eq!(
                    sequence.update(at, |element| std::mem::replace(element, n % 11)),
                    Some(model[at])
                );
                model[at] = n % 11;
            }
            if [0, 30, 31, 32, 33, 1022, 1023, 1024, 1025, 32_767, 32_768, 39_999].contains(&n) {
                check(&sequence, &model);
            }
        }
        assert_eq!(sequence.update(40_000, |_| ()), None);
    }

    #[test]
    fn copies_do_not_see_each_other_s_changes() {
        let mut parent: Sequence<u64> = (0..5_000).collect();
        let mut child = parent.clone();
        child.update(17, |element| *element = 0);
        child.push(1);
        parent.update(4_999, |element| *element = 7);
        check(&child, &(0..5_000).map(|n| if n == 17 { 0 } else { n }).chain([1]).collect::<Vec<_>>());
        check(&parent, &(0..5_000).map(|n| if n == 4_999 { 7 } else { n }).collect::<Vec<_>>());
    }
}
