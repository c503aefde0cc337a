//! Cache models: what can be cached, what it costs, and which ones ship.

use kernel_types::{CacheModel, Catalogue, Pricing, Retention, TokenUsage, Tokens};
use proptest::prelude::*;

/// Name, shortest prefix, step, seconds, breakpoints, positions searched, and the prices of reading, writing, output.
type Row = (&'static str, u64, u64, u64, u32, u32, u32, u32, u32);

const SHIPPED: &[Row] = &[
    ("anthropic-1h", 1024, 1, 3600, 4, 20, 100, 2000, 5000),
    ("anthropic-5m", 1024, 1, 300, 4, 20, 100, 1250, 5000),
    ("anthropic-5m-512", 512, 1, 300, 4, 20, 100, 1250, 5000),
    ("anthropic-5m-small", 4096, 1, 300, 4, 20, 100, 1250, 5000),
    ("deepseek", 64, 64, 14_400, 0, 0, 100, 1000, 4000),
    ("deepseek-v4pro", 64, 64, 14_400, 0, 0, 33, 1000, 3000),
    ("gemini-implicit", 2048, 1, 300, 0, 0, 100, 1000, 8000),
    ("llamacpp", 1, 1, 86_400, 0, 0, 0, 1000, 5000),
    ("openai-gpt5", 1024, 128, 300, 0, 0, 100, 1000, 8000),
    ("openai-gpt5.6", 1024, 1, 1800, 4, 20, 100, 1250, 6000),
    ("vllm", 16, 16, 86_400, 0, 0, 0, 1000, 5000),
];

fn named(name: &str) -> CacheModel {
    *Catalogue::built_in().cache(name).expect("ships")
}

#[test]
fn the_shipped_kinds_are_these() {
    let shipped: Vec<Row> = Catalogue::built_in()
        .caches()
        .map(|(name, model)| {
            let CacheModel { min_prefix, step, ttl_s, breakpoints, look_back, read, write, output, .. } =
                *model;
            (name, min_prefix.0, step.0, ttl_s, breakpoints, look_back, read, write, output)
        })
        .collect();
    assert_eq!(shipped, SHIPPED);
    assert_eq!(Catalogue::built_in().cache("anthropic"), None);
}

#[test]
fn a_prefix_is_cached_from_the_least_length_in_whole_steps() {
    let check = |name: &str, prefix: u64, expected: u64| {
        assert_eq!(named(name).cacheable(Tokens(prefix)), Tokens(expected), "{name}: {prefix}");
    };
    check("openai-gpt5", 1023, 0);
    check("openai-gpt5", 1024, 1024);
    check("openai-gpt5", 1151, 1024);
    check("openai-gpt5", 1152, 1152);
    check("anthropic-5m", 1023, 0);
    check("anthropic-5m", 1025, 1025);
    check("anthropic-5m-small", 4095, 0);
    check("anthropic-5m-small", 4096, 4096);
    check("deepseek", 63, 0);
    check("deepseek", 130, 128);
    check("vllm", 31, 16);
    check("llamacpp", 7, 7);
}

#[test]
fn without_a_cache_nothing_is_cacheable_and_nothing_is_cheaper() {
    let none = CacheModel::default();
    assert_eq!(none.cacheable(Tokens(1_000_000)), Tokens::ZERO);
    assert!(!none.is_explicit());
    assert_eq!((none.read, none.write), (1000, 1000));
}

#[test]
fn explicit_caches_are_those_with_breakpoints() {
    assert!(named("anthropic-5m").is_explicit() && named("openai-gpt5.6").is_explicit());
    assert!(!named("openai-gpt5").is_explicit() && !named("deepseek").is_explicit());
}

#[test]
fn a_call_costs_what_its_parts_cost() {
    let usage = TokenUsage {
        input: Tokens(10_000),
        cached: Tokens(8_000),
        cache_written: Tokens(1_500),
        written_long: Tokens::ZERO,
        output: Tokens(100),
        estimated: false,
    };
    // 8,000 x 0.1 + 1,500 x 1.25 + 500 + 100 x 5 = 3,675 plain tokens.
    assert_eq!(named("anthropic-5m").units(&usage), 3_675_000);
    assert_eq!(CacheModel::default().units(&usage), 10_500_000);
    // Of the 1,500, 1,000 are kept for longer, at 2.
    let long = TokenUsage { written_long: Tokens(1_000), ..usage };
    assert_eq!(named("anthropic-5m").units(&long), 4_425_000);
}

#[test]
fn what_is_kept_for_longer_costs_more_where_it_is_offered() {
    let kept = |name: &str, retention| {
        let cache = named(name).kept(retention);
        (cache.ttl_s, cache.write)
    };
    assert_eq!(kept("anthropic-5m", Retention::Short), (300, 1250));
    assert_eq!(kept("anthropic-5m", Retention::Long), (3600, 2000));
    for name in ["deepseek", "openai-gpt5", "llamacpp"] {
        assert_eq!(kept(name, Retention::Long), kept(name, Retention::Short), "{name}");
    }
    let sonnet = Catalogue::built_in().find("claude-sonnet-4-5").expect("ships");
    let pricing = Pricing { cache_write_long: None, ..sonnet.pricing.expect("has prices") };
    assert_eq!(named("anthropic-5m").priced(&pricing).long, None, "what has no price is not offered");
}

#[test]
fn a_price_list_gives_the_relative_prices() {
    let pricing = Pricing {
        input: 660_000,
        output: 1_980_000,
        cache_read: 22_000,
        cache_write: 660_000,
        cache_write_long: None,
    };
    let priced = CacheModel::default().priced(&pricing);
    assert_eq!((priced.read, priced.write, priced.output), (33, 1000, 3000));
    let free = Pricing { input: 0, ..pricing };
    assert_eq!(CacheModel::default().priced(&free), CacheModel::default());
}

#[test]
fn a_models_cache_has_the_models_own_prices() {
    let cache = |name: &str| Catalogue::built_in().find(name).expect("ships").cache;
    assert_eq!(cache("claude-sonnet-4-5"), named("anthropic-5m"));
    assert_eq!(cache("claude-opus-5-5").read, 50);
    assert_eq!(cache("deepseek-v4-pro"), named("deepseek-v4pro"));
    assert_eq!((cache("gpt-4.1").read, cache("gpt-4.1").output), (250, 4000));
    assert_eq!(cache("smollm2-135m"), named("llamacpp"), "free input leaves the kind's prices");
}

proptest! {
    #[test]
    fn no_more_than_the_prefix_is_cacheable_and_growth_never_shrinks_it(
        min in 0u64..5000, step in 0u64..300, prefix in 0u64..20_000, more in 0u64..500
    ) {
        let model = CacheModel { min_prefix: Tokens(min), step: Tokens(step), ttl_s: 1, ..CacheModel::default() };
        let cached = model.cacheable(Tokens(prefix));
        prop_assert!(cached.0 <= prefix && prefix - cached.0 < min.max(step).max(1));
        prop_assert!(cached <= model.cacheable(Tokens(prefix + more)));
    }
}
