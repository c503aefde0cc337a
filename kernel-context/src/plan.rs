//! `Plan`: what a pager means to do before the next render, and why.

use serde::{Deserialize, Serialize};

use crate::Change;

/// What a compaction costs the provider's prefix cache.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Nothing leaves; the window only grew.
    #[default]
    None,
    /// Only what came since the last compaction is rewritten.
    Minor,
    /// What survived earlier compactions is rewritten too.
    Major,
    /// The provider has forgotten the prefix anyway, so everything may be rewritten.
    Cold,
}

impl PlanKind {
    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Cold => "cold",
        }
    }
}

/// What makes room for the next render.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// What it costs.
    pub kind: PlanKind,
    /// To be applied by the caller, in order; none if the window fits as it is.
    pub changes: Vec<Change>,
}
