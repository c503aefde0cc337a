#![allow(clippy::all, missing_docs, clippy::unwrap_used, clippy::print_stdout)]
use kernel_context::retrieval::*;
use kernel_types::PageNo;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
#[path = "recall/model.rs"] mod model;
struct Conv { index: Index, ids: HashMap<String, usize>, pages: Vec<(String, u64)>, queries: Vec<(String, String, u64, Vec<String>)>, sessions: HashMap<String, u64> }
fn main() {
    let files = std::env::var("FILES").unwrap_or("/tmp/recall/dialogue.jsonl".into());
    let use_about = std::env::var("NOABOUT").is_err();
    let model = std::env::var("EMB").ok().map(|d| model::Model::open(std::path::Path::new(&d)).unwrap());
    let mut qe: HashMap<String, Option<Embedding>> = HashMap::new();
    let mut convs: BTreeMap<String, Conv> = BTreeMap::new();
    for f in files.split(',') { for l in std::fs::read_to_string(f).unwrap().lines() {
        let d: Value = serde_json::from_str(l).unwrap();
        let c = convs.entry(d["conv"].as_str().unwrap().into()).or_insert_with(|| Conv { index: Index::default(), ids: HashMap::new(), pages: vec![], queries: vec![], sessions: HashMap::new() });
        if d["type"] == "page" {
            let n = c.pages.len();
            let k = c.sessions.len() as u64;
            let s = *c.sessions.entry(d["session"].to_string()).or_insert(k);
            let mut about: Vec<&str> = ["speaker", "date"].iter().filter_map(|x| d[*x].as_str()).collect();
            if !use_about { about.clear(); }
            c.index.add(&IndexedPage { page: PageNo(n as u64), text: d["text"].as_str().unwrap(), source: Some(Source { id: s, path: "", top: false }), about: &about, embedding: model.as_ref().and_then(|m| m.embed(d["text"].as_str().unwrap())).as_ref() }).unwrap();
            c.ids.insert(d["id"].as_str().unwrap().into(), n);
            c.pages.push((d["id"].as_str().unwrap().into(), d["tokens"].as_u64().unwrap()));
        } else if d["type"] == "query" {
            qe.insert(d["qid"].as_str().unwrap().into(), model.as_ref().and_then(|m| m.embed(d["text"].as_str().unwrap())));
            c.queries.push((d["qid"].as_str().unwrap().into(), d["text"].as_str().unwrap().into(), d["budget_tokens"].as_u64().unwrap(), d["evidence"].as_array().unwrap().iter().map(|e| e.as_str().unwrap().into()).collect()));
        }
    } }
    let verbose = std::env::var("V").is_ok();
    let mut eval = ||  -> (Vec<(String, f64)>, f64) {
        let mut out = vec![]; let mut all = 0.0; let mut n = 0.0;
        for (name, c) in &convs {
            let mut sum = 0.0;
            for (qid, text, budget, ev) in &c.queries {
                let mut room = *budget; let mut got = 0; let mut used = 0; let mut taken = 0;
                let mut hits = c.index.search(&Query { text, embedding: qe[qid].as_ref(), limit: c.pages.len() });
                let mut places = BTreeMap::new();
                for (r, h) in hits.iter().enumerate() {
                    let (id, t) = &c.pages[h.page.0 as usize];
                    if ev.contains(id) { places.insert(id.clone(), r); }
                    if let Some(left) = room.checked_sub(*t) { room = left; used += t; taken += 1; if ev.contains(id) { got += 1; places.remove(id); } }
                }
                let r = got as f64 / ev.len() as f64;
                if verbose && r < 1.0 { println!("{qid} {r:.2} hits {} taken {taken} used {used}: {text}", hits.len());
                    for e in ev { let found = places.get(e); println!("    {e} rank {found:?}"); } }
                sum += r;
            }
            all += sum; n += c.queries.len() as f64;
            if c.queries.len() > 0 { out.push((name.clone(), sum / c.queries.len() as f64)); }
        }
        (out, all / n)
    };
    let (out, all) = eval();
    let mean = out.iter().map(|x| x.1).sum::<f64>() / out.len() as f64;
    println!("{all:.4} texts {mean:.4} | {}", out.iter().map(|(n, v)| format!("{n} {v:.3}")).collect::<Vec<_>>().join("  "));
}
