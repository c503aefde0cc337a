#![allow(clippy::all, missing_docs, clippy::unwrap_used, clippy::print_stdout)]
use kernel_context::retrieval::*;
use kernel_types::PageNo;
fn main() {
    let mut words: Vec<String> = vec![]; 
    for f in ["dialogue", "chats"] { for l in std::fs::read_to_string(format!("/tmp/recall/{f}.jsonl")).unwrap().lines() { let v: serde_json::Value = serde_json::from_str(l).unwrap(); if v["type"] == "page" { words.extend(v["text"].as_str().unwrap().split_whitespace().map(String::from)); } } }
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let pages: Vec<String> = (0..n).map(|i| words.iter().cycle().skip((i * 58) % words.len()).take(58).cloned().collect::<Vec<_>>().join(" ")).collect();
    let bytes: usize = pages.iter().map(|p| p.len()).sum();
    let dates: Vec<String> = (0..n).map(|i| format!("2023-{:02}-{:02}", i / 40 % 12 + 1, i / 40 % 28 + 1)).collect();
    for _ in 0..std::env::args().nth(2).map_or(1, |x| x.parse().unwrap()) {
    let t = std::time::Instant::now();
    let mut index = Index::default();
    for (i, p) in pages.iter().enumerate() { index.add(&IndexedPage { page: PageNo(i as u64), text: p, source: Some(Source { id: i as u64 / 40, path: "", top: false }), about: &["Ann", &dates[i]], embedding: None }).unwrap(); }
    println!("{:.1} ns/byte {}", t.elapsed().as_nanos() as f64 / bytes as f64, index.len());
    }
}
