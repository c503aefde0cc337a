//! What the provider still has of the prompt: from where on a change is paid for.

use crate::space::Space;
use crate::window::Shown;

/// The cached prefixes of a window.
pub(crate) struct Warmth<'a> {
    space: &'a Space,
    /// Tokens before the order.
    head: u64,
    /// Entries with a cached prefix; `None` if the cache is implicit and has all that was shown.
    warm: Option<&'a [Shown]>,
}

impl<'a> Warmth<'a> {
    pub(crate) fn of(space: &'a Space) -> Self {
        let warm = space.config.cache.is_explicit().then_some(&*space.window.warm);
        Self { space, head: space.head_cost(), warm }
    }

    /// Tokens that lie between the last cached prefix and an entry that `before` tokens of the order lie before.
    pub(crate) fn gap(&self, at: u32, before: u64) -> u64 {
        let start = match self.warm {
            None => before,
            Some(warm) => {
                let last = warm.partition_point(|warm| warm.entries <= at).checked_sub(1);
                let entries = last.map_or(0, |last| warm[last].entries);
                self.space.window.order.prefix(entries as usize)
            }
        };
        if self.head + start < self.space.config.cache.min_prefix.0 {
            return self.head + before;
        }
        before - start
    }
}
