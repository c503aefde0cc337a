//! Where a request tells the provider to cache: after which segments.
//!
//! An explicit cache (Anthropic's) finds an entry only at a breakpoint or within `look_back` segments before one, and keeps
//! entries only at breakpoints, each for a while after its last use. So one lies at the end, for the next call to find; one
//! at the end of what was shown before, if more was added than is looked back; one before the cut of the last compaction,
//! where the next is likely to cut again and find its prefix warm; and one after the head, which outlives them all.

use kernel_types::CacheModel;

/// The segments after which a breakpoint lies, ascending; none for an implicit cache. All are counts of segments: there are
/// `len` (notes, which are not cached, left out), `stable` are as they were shown, and `marks` are worth keeping warm, the
/// best first.
pub(crate) fn choose(len: usize, stable: usize, marks: &[usize], cache: &CacheModel) -> Vec<usize> {
    let most = cache.breakpoints as usize;
    let far = len - stable >= cache.look_back as usize;
    let ends = [Some(len), far.then_some(stable)].into_iter().flatten();
    let mut chosen: Vec<usize> = Vec::with_capacity(most);
    for end in ends.chain(marks.iter().copied()) {
        if let Some(at) = end.checked_sub(1)
            && chosen.len() < most
            && !chosen.contains(&at)
        {
            chosen.push(at);
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(breakpoints: u32, (len, stable, marks): (usize, usize, &[usize]), expected: &[usize]) {
        let cache = CacheModel { breakpoints, look_back: 3, ..CacheModel::default() };
        assert_eq!(choose(len, stable, marks, &cache), expected);
    }

    #[test]
    fn the_end_matters_most() {
        check(4, (10, 7, &[4, 1]), &[0, 3, 6, 9]);
        check(3, (10, 7, &[4, 1]), &[3, 6, 9]);
        check(1, (10, 7, &[4, 1]), &[9]);
        check(0, (10, 7, &[4, 1]), &[]);
    }

    #[test]
    fn what_is_looked_back_needs_no_breakpoint() {
        check(4, (10, 8, &[4, 1]), &[0, 3, 9]);
        check(2, (10, 8, &[4, 1]), &[3, 9]);
    }

    #[test]
    fn one_place_has_one_breakpoint() {
        check(4, (10, 10, &[0, 0]), &[9]);
        check(4, (3, 3, &[3, 3, 2]), &[1, 2]);
        check(4, (0, 0, &[0]), &[]);
    }
}
