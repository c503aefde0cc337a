#![allow(clippy::all, missing_docs, clippy::unwrap_used, clippy::print_stdout)]
use kernel_context::retrieval::*;
use kernel_types::PageNo;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
struct Conv { index: Index, ids: HashMap<String, usize>, pages: Vec<(String, u64)>, queries: Vec<(String, String, u64, Vec<String>)>, sessions: HashMap<String, u64> }
fn main() {
    let files = std::env::var("FILES").unwrap_or("/tmp/recall/dialogue.jsonl".into());
    let use_about = std::env::var("NOABOUT").is_err();
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
            c.index.add(&IndexedPage { page: PageNo(n as u64), text: d["text"].as_str().unwrap(), source: Some(Source { id: s, path: "", top: false }), about: &about, embedding: None }).unwrap();
            c.ids.insert(d["id"].as_str().unwrap().into(), n);
            c.pages.push((d["id"].as_str().unwrap().into(), d["tokens"].as_u64().unwrap()));
        } else if d["type"] == "query" {
            c.queries.push((d["qid"].as_str().unwrap().into(), d["text"].as_str().unwrap().into(), d["budget_tokens"].as_u64().unwrap(), d["evidence"].as_array().unwrap().iter().map(|e| e.as_str().unwrap().into()).collect()));
        }
    } }
    let verbose = std::env::var("V").is_ok();
    let mut eval = |w: Weights| -> (Vec<(String, f64)>, f64) {
        set_weights(w);
        let mut out = vec![]; let mut all = 0.0; let mut n = 0.0;
        for (name, c) in &convs {
            let mut sum = 0.0;
            for (qid, text, budget, ev) in &c.queries {
                let mut room = *budget; let mut got = 0; let mut used = 0; let mut taken = 0;
                let hits = c.index.search(&Query { text, embedding: None, limit: c.pages.len() });
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
    let set = |w: &mut Weights, key: &str, v: f32| match key {
        "k1" => w.k1 = v, "b" => w.b = v, "near" => w.near = v, "far" => w.far = v, "third" => w.third = v, "fourth" => w.fourth = v,
        "name_worth" => w.name_worth = v, "about_lift" => w.about_lift = v, "about_add" => w.about_add = v, "date" => w.date = v,
        "session_lift" => w.session_lift = v, "body_evidence" => w.body_evidence = v, "vector" => w.vector = v, "rrf" => w.rrf = v, "prf" => w.prf = v, "x1" => w.x1 = v, "x2" => w.x2 = v, "x3" => w.x3 = v, "x4" => w.x4 = v, "x5" => w.x5 = v, "x6" => w.x6 = v, _ => panic!("{key}") };
    let mut base = Weights::START;
    let args: Vec<String> = std::env::args().skip(1).collect();
    // key=value fixes; key:v1,v2,.. scans
    for a in &args { if let Some((k, v)) = a.split_once('=') { set(&mut base, k, v.parse().unwrap()); } }
    let show = |label: &str, (out, all): (Vec<(String, f64)>, f64)| {
        let mean = out.iter().map(|x| x.1).sum::<f64>() / out.len() as f64;
        println!("{label:28} {all:.4} texts {mean:.4} | {}", out.iter().map(|(n, v)| format!("{n} {v:.3}")).collect::<Vec<_>>().join("  ")); };
    show("base", eval(base));
    for a in &args { if let Some((k, vs)) = a.split_once(':') { for v in vs.split(',') { let mut w = base; set(&mut w, k, v.parse().unwrap()); show(&format!("{k}={v}"), eval(w)); } } }
}
