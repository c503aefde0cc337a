//! `BatchPagers`: makes pagers that evict in batches, between two watermarks.

use crate::batch::BatchPager;
use crate::victims::Watermarks;
use crate::{Pager, PagerConfig, PagerError, PagerFactory, Swap, saved};

/// Makes pagers that evict whole groups in batches, down to a low watermark when the window is above a high one.
///
/// The wider apart the watermarks, the rarer the compactions that lose the provider's prefix cache, and the less of the
/// window is in use on average.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BatchPagers {
    /// The part of the window above which a plan evicts, 0 to 1.
    pub high: f64,
    /// The part of the window down to which it evicts, at most `high`.
    pub low: f64,
}

impl Default for BatchPagers {
    fn default() -> Self {
        Self { high: 0.95, low: 0.75 }
    }
}

impl BatchPagers {
    fn marks(&self, config: &PagerConfig) -> Result<Watermarks, PagerError> {
        let Self { high, low } = *self;
        if config.window.0 == 0 {
            return Err(PagerError::Invalid("a window of 0 tokens holds no page".to_owned()));
        }
        if !(0.0 < low && low <= high && high <= 1.0) {
            return Err(PagerError::Invalid(format!(
                "watermarks {low} and {high} are not in the order 0 < low <= high <= 1"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0..=1000 by the check above"
        )]
        let thousandths = |part: f64| (part * 1000.0).round() as u64;
        Ok(Watermarks { high: thousandths(high), low: thousandths(low) })
    }
}

impl PagerFactory for BatchPagers {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn make(&self, config: &PagerConfig) -> Result<Box<dyn Pager>, PagerError> {
        let marks = self.marks(config)?;
        Ok(Box::new(BatchPager::new(config.clone(), marks)))
    }

    fn load(
        &self,
        config: &PagerConfig,
        saved: &[u8],
        swap: &dyn Swap,
    ) -> Result<Box<dyn Pager>, PagerError> {
        let marks = self.marks(config)?;
        let table = saved::load(saved)?;
        Ok(Box::new(BatchPager::restore(config.clone(), marks, table, swap)?))
    }
}
