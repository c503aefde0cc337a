//! Quantities: bounds hold however a value comes in, sums never wrap.

use std::time::Duration;

use kernel_types::{Importance, MicroUsd, Millis, Priority, Timestamp, Tokens};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_priority_is_0_to_100(value: u8) {
        prop_assert_eq!(Priority::new(value).map(Priority::value), (value <= 100).then_some(value));
        let read = serde_json::from_str::<Priority>(&value.to_string());
        prop_assert_eq!(read.is_ok(), value <= 100);
    }

    #[test]
    fn an_importance_is_0_to_1_and_comes_back_exactly(value: f64) {
        let made = Importance::new(value);
        prop_assert_eq!(made.is_some(), (0.0..=1.0).contains(&value));
        if let Some(importance) = made {
            prop_assert!((importance.value() - value).abs() <= 0.0005 + f64::EPSILON);
        }
    }

    #[test]
    fn every_thousandth_survives_json(thousandths in 0u16..=1000) {
        let importance = Importance::new(f64::from(thousandths) / 1000.0).expect("within 0 to 1");
        prop_assert_eq!(importance.thousandths(), thousandths);
        let json = serde_json::to_string(&importance).expect("written");
        prop_assert_eq!(serde_json::from_str::<Importance>(&json).expect("read"), importance);
    }

    #[test]
    fn sums_clamp(a: u64, b: u64) {
        prop_assert_eq!(Tokens(a).saturating_add(Tokens(b)), Tokens(a.saturating_add(b)));
        prop_assert_eq!(MicroUsd(a).saturating_sub(MicroUsd(b)), MicroUsd(a.saturating_sub(b)));
        prop_assert_eq!([Tokens(a), Tokens(b)].into_iter().sum::<Tokens>(), Tokens(a.saturating_add(b)));
        prop_assert_eq!(Timestamp(a).after(Millis(b)), Timestamp(a.saturating_add(b)));
        prop_assert_eq!(Timestamp(a).since(Timestamp(b)), Millis(a.saturating_sub(b)));
    }
}

#[test]
fn smaller_priority_is_more_urgent_and_fifty_is_the_default() {
    assert_eq!(Priority::default().value(), 50);
    assert!(Priority::new(0) < Priority::new(100));
    assert_eq!(Priority::LOWEST.value(), 100);
    let refused = serde_json::from_str::<Priority>("101").expect_err("above the bound");
    assert!(refused.to_string().contains("101"), "{refused}");
}

#[test]
fn importance_refuses_what_is_no_number_of_0_to_1() {
    for wrong in [f64::NAN, f64::INFINITY, -0.001, 1.001] {
        assert_eq!(Importance::new(wrong), None, "{wrong}");
    }
    assert!(serde_json::from_str::<Importance>("1.5").is_err());
    assert_eq!(Importance::default().thousandths(), 500);
}

#[test]
fn money_and_time_are_written_for_people() {
    assert_eq!(MicroUsd(1_250_001).to_string(), "$1.250001");
    assert_eq!(Millis(12).to_string(), "12 ms");
    assert_eq!(Millis::from(Duration::MAX), Millis(u64::MAX));
    assert_eq!(Duration::from(Millis(1500)), Duration::from_millis(1500));
}
