//! Where a request tells the provider to cache: after which segments.
//!
//! An explicit cache (Anthropic's) finds an entry only at a breakpoint or within `look_back` segments before one, and keeps
//! entries only at breakpoints. So one lies at the end, for the next call to find; one at the end of what was shown before, for
//! this call to find however much was added; one after the frozen part and one after the head, which outlive the next
//! compactions.

use kernel_types::CacheModel;

use crate::pager::Segment;

/// The segments after which a breakpoint lies, ascending; none for an implicit cache. `head`, `frozen` and `stable` are
/// counts of segments; notes, which are not cached, are not among the segments.
pub(crate) fn choose(
    segments: &[Segment],
    head: usize,
    frozen: usize,
    stable: usize,
    cache: &CacheModel,
) -> Vec<usize> {
    let most = cache.breakpoints as usize;
    let mut chosen: Vec<usize> = Vec::with_capacity(most);
    for end in [segments.len(), stable, frozen, head] {
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
    use kernel_types::Tokens;

    fn check(
        breakpoints: u32,
        (len, head, frozen, stable): (usize, usize, usize, usize),
        expected: &[usize],
    ) {
        let segments = vec![Segment { id: 0, tokens: Tokens(1), page: None }; len];
        let cache = CacheModel { breakpoints, ..CacheModel::default() };
        assert_eq!(choose(&segments, head, frozen, stable, &cache), expected);
    }

    #[test]
    fn the_end_matters_most() {
        check(4, (10, 1, 4, 8), &[0, 3, 7, 9]);
        check(3, (10, 1, 4, 8), &[3, 7, 9]);
        check(1, (10, 1, 4, 8), &[9]);
        check(0, (10, 1, 4, 8), &[]);
    }

    #[test]
    fn one_place_has_one_breakpoint() {
        check(4, (10, 0, 0, 10), &[9]);
        check(4, (3, 3, 3, 3), &[2]);
        check(4, (0, 0, 0, 0), &[]);
    }
}
