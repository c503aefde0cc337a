//! `Replacement`: which pages leave a full window, and when.

use crate::space::Space;
use crate::{Pager, PagerConfig, PagerError, PagerFactory, Swap, saved};

/// A replacement policy; makes pagers that follow it.
///
/// All are one mechanism (page table, groups, stubs, rendering, recall) and differ in what a full window loses.
///
/// ```
/// use kernel_context::{PagerFactory, Replacement};
///
/// assert_eq!(Replacement::default().name(), "generational");
/// assert_eq!(Replacement::named("lru"), Some(Replacement::Lru));
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Replacement {
    /// Compacts in batches, where that costs the provider's prefix cache least: what is read again soon stays, what a
    /// compaction leaves is frozen, and older parts are rewritten only when that pays.
    Generational {
        /// The part of the window that is in use on average, at least: 0.5 is cheap, 0.9 remembers most. 0 to 0.95.
        floor: f64,
    },
    /// The page used longest ago leaves, one at a time.
    Lru,
    /// Likewise, but the importance of a page counts as much as the time since it was used: the classic of agent
    /// frameworks.
    LruImportance,
    /// The oldest page leaves, one at a time.
    Fifo,
    /// The oldest pages leave in batches, between two watermarks.
    BatchFifo {
        /// The part of the window above which pages leave, 0 to 1.
        high: f64,
        /// The part down to which they leave, at most `high`.
        low: f64,
    },
    /// The oldest pages leave in batches and leave their first words behind. The pages stay recallable.
    Summarise {
        /// The part of the window above which pages leave, 0 to 1.
        high: f64,
        /// The part down to which they leave, at most `high`.
        low: f64,
    },
}

impl Default for Replacement {
    fn default() -> Self {
        Self::Generational { floor: 0.8 }
    }
}

impl Replacement {
    /// All policies with their usual settings, the default first.
    pub const ALL: [Self; 6] = [
        Self::Generational { floor: 0.8 },
        Self::Lru,
        Self::LruImportance,
        Self::Fifo,
        Self::BatchFifo { high: 0.95, low: 0.75 },
        Self::Summarise { high: 0.95, low: 0.75 },
    ];

    /// The policy of that name with its usual settings.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    fn check(&self, config: &PagerConfig) -> Result<(), PagerError> {
        if config.window.0 == 0 {
            return Err(PagerError::Invalid("a window of 0 tokens holds no page".to_owned()));
        }
        if config.window.0 > u64::from(u32::MAX) {
            let message = format!("a window of {} tokens exceeds the limit of {}", config.window, u32::MAX);
            return Err(PagerError::Invalid(message));
        }
        match *self {
            Self::Generational { floor } if !(0.0..=0.95).contains(&floor) => {
                Err(PagerError::Invalid(format!("a floor of {floor} is not within 0 to 0.95")))
            }
            Self::BatchFifo { high, low } | Self::Summarise { high, low }
                if !(0.0 < low && low <= high && high <= 1.0) =>
            {
                let message =
                    format!("watermarks {low} and {high} are not in the order 0 < low <= high <= 1");
                Err(PagerError::Invalid(message))
            }
            _ => Ok(()),
        }
    }
}

impl PagerFactory for Replacement {
    fn name(&self) -> &'static str {
        match self {
            Self::Generational { .. } => "generational",
            Self::Lru => "lru",
            Self::LruImportance => "lru_importance",
            Self::Fifo => "fifo",
            Self::BatchFifo { .. } => "batch_fifo",
            Self::Summarise { .. } => "summarise",
        }
    }

    fn make(&self, config: &PagerConfig) -> Result<Box<dyn Pager>, PagerError> {
        self.check(config)?;
        Ok(Box::new(Space::new(config.clone(), *self)))
    }

    fn load(
        &self,
        config: &PagerConfig,
        saved: &[u8],
        swap: &dyn Swap,
    ) -> Result<Box<dyn Pager>, PagerError> {
        self.check(config)?;
        Ok(Box::new(saved::load(config, *self, saved, swap)?))
    }
}
