//! The model catalogue: it loads, finds and prices.

use kernel_types::{CacheModel, Catalogue, MicroUsd, Pricing, Retention, TokenUsage, Tokens};
use proptest::prelude::*;

fn any_pricing() -> impl Strategy<Value = Pricing> {
    let price = 0u64..100_000_000;
    let long = proptest::option::of(price.clone());
    (price.clone(), price.clone(), price.clone(), price, long).prop_map(
        |(input, output, cache_read, cache_write, cache_write_long)| Pricing {
            input,
            output,
            cache_read,
            cache_write,
            cache_write_long,
        },
    )
}

fn any_usage() -> impl Strategy<Value = TokenUsage> {
    (0u64..2_000_000, 0u64..2_000_000, 0u64..2_000_000, 0u64..2_000_000, 0u64..200_000).prop_map(
        |(input, cached, written, long, output)| {
            let cached = cached.min(input);
            let cache_written = Tokens(written.min(input - cached));
            TokenUsage {
                input: Tokens(input),
                cached: Tokens(cached),
                cache_written,
                written_long: cache_written.min(Tokens(long)),
                output: Tokens(output),
                estimated: false,
            }
        },
    )
}

proptest! {
    #[test]
    fn no_call_costs_more_than_its_ceiling(pricing in any_pricing(), usage in any_usage()) {
        prop_assert!(pricing.cost(&usage) <= pricing.ceiling(usage.input, usage.output, Retention::Long));
    }

    #[test]
    fn a_fraction_of_a_millionth_is_rounded_up(tokens in 1u64..1000) {
        let pricing = Pricing { input: 1, ..Pricing::default() };
        let usage = TokenUsage { input: Tokens(tokens), ..TokenUsage::default() };
        prop_assert_eq!(pricing.cost(&usage), MicroUsd(1));
    }
}

#[test]
fn the_shipped_models_load_and_make_sense() {
    let models: Vec<_> = Catalogue::built_in().models().collect();
    assert!(models.len() >= 3, "{}", models.len());
    for model in models {
        let name = &model.name;
        assert!(model.max_output <= model.window, "{name}: more output than window");
        assert_ne!(model.cache, CacheModel::default(), "{name}: its cache is not defined");
        assert!(model.cache.read <= model.cache.write, "{name}: reading the cache is dearer than writing it");
        let Some(pricing) = model.pricing else { continue };
        assert!(
            pricing.cache_read <= pricing.input,
            "{name}: reading the cache is dearer than not having one"
        );
        assert!(pricing.input <= pricing.output, "{name}: input is dearer than output");
    }
}

#[test]
fn a_call_is_priced_by_what_it_used() {
    let model = Catalogue::built_in().find("claude-sonnet-4-5").expect("ships");
    let pricing = model.pricing.expect("has prices");
    let usage = TokenUsage {
        input: Tokens(1_000_000),
        cached: Tokens(400_000),
        cache_written: Tokens(100_000),
        written_long: Tokens::ZERO,
        output: Tokens(10_000),
        estimated: false,
    };
    // 500,000 x $3 + 400,000 x $0.30 + 100,000 x $3.75 + 10,000 x $15, each a million.
    assert_eq!(pricing.cost(&usage), MicroUsd(1_500_000 + 120_000 + 375_000 + 150_000));
    // Kept for longer, the written ones cost $6.
    let long = TokenUsage { written_long: Tokens(100_000), ..usage };
    assert_eq!(pricing.cost(&long), MicroUsd(1_500_000 + 120_000 + 600_000 + 150_000));
}

#[test]
fn usage_that_contradicts_itself_is_priced_without_a_panic() {
    let most = u64::MAX;
    let pricing = Pricing {
        input: most,
        output: most,
        cache_read: most,
        cache_write: most,
        cache_write_long: Some(most),
    };
    let usage = TokenUsage {
        input: Tokens(1),
        cached: Tokens(u64::MAX),
        cache_written: Tokens(u64::MAX),
        written_long: Tokens(u64::MAX),
        output: Tokens(u64::MAX),
        estimated: true,
    };
    assert_eq!(pricing.cost(&usage), MicroUsd(u64::MAX));
}

#[test]
fn a_dated_name_finds_its_model_and_a_longer_word_does_not() {
    let catalogue = Catalogue::built_in();
    let found = catalogue.find("claude-sonnet-4-5-20250929").expect("the longest known prefix");
    assert_eq!(found.name, "claude-sonnet-4-5");
    assert!(catalogue.find("gpt-55").is_none());
    assert!(catalogue.find("").is_none());
}

#[test]
fn a_broken_catalogue_says_where() {
    let error = Catalogue::parse("[cache.a]\nmin_prefix = \"many\"\n[model.m]\n").expect_err("does not fit");
    assert!(error.to_string().contains("line 2"), "{error}");
}
