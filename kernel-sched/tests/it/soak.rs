//! How much the property tests walk: what CI has time for, or with `AGENTOS_SOAK` a million decisions a seed.

/// Seeds, and decisions of each: `ci` seeds of 1,000 decisions, or `soak` seeds of 1,000,000 decisions with `AGENTOS_SOAK`.
pub(crate) fn walks(ci: u64, soak: u64) -> (u64, u64) {
    if std::env::var_os("AGENTOS_SOAK").is_some() { (soak, 1_000_000) } else { (ci, 1_000) }
}
