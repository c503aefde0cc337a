//! Arguments that nobody in their right mind would send.

use kernel_types::ToolSpec;
use serde_json::{Value, json};

fn hostile_values() -> Vec<Value> {
    let deep = (0..100).fold(Value::Null, |inner, _| json!([inner]));
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}"),
        json!("a\nb\u{202e}c"),
        json!("x".repeat(100_000)),
        json!("../".repeat(2_000)),
        json!("("),
        json!("(a*)*b"),
        json!([]),
        json!({}),
        deep,
    ]
}

/// Each hostile value as the whole of the arguments, as each argument alone and as all of them at once.
pub(super) fn hostile_arguments(spec: &ToolSpec) -> Vec<Value> {
    let schema = spec.input.value();
    let names: Vec<String> =
        schema["properties"].as_object().map(|p| p.keys().cloned().collect()).unwrap_or_default();
    let mut all = hostile_values();
    for value in hostile_values() {
        all.push(names.iter().map(|name| (name.clone(), value.clone())).collect());
        for hostile in &names {
            let one = |name: &String| if name == hostile { value.clone() } else { json!("a") };
            all.push(names.iter().map(|name| (name.clone(), one(name))).collect());
            all.push(json!({ hostile.clone(): value.clone() }));
        }
    }
    all
}
