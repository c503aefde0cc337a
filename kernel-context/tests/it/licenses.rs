//! Retrieval over a real folder: factual questions, each with the lines that answer it.

use std::path::Path;

use kernel_context::{BatchPagers, Change, MemorySwap, PageDraft, PagerConfig, PagerFactory, best_line, rank_texts};
use kernel_types::{CacheModel, Importance, Origin, PageKind, PageNo, Tokens};

#[test]
fn tune() {
    report(TUNE);
}
#[test]
fn held() {
    report(HELD);
}

type Row = (&'static str, &'static [(&'static str, u32, u32)]);
const TUNE: &[Row] = &[
    ("For how many months must source that is distributed electronically stay available under the Mozilla Public License?", &[("MPL-1.1",164,165)]),
    ("How many days does a violator have to cure a GPL version 3 violation after receiving the first notice?", &[("GPL-3",423,427)]),
    ("What happens under the Apache License if you start patent litigation against the work?", &[("Apache-2.0",83,88)]),
    ("What is a Larger Work in the Mozilla Public License 2.0?", &[("MPL-2.0",37,40)]),
    ("How many words may a Front-Cover Text have at most under the GNU Free Documentation License?", &[("GFDL-1.3",72,73),("GFDL-1.2",72,73),("GFDL-1.3",249,250),("GFDL-1.2",246,247)]),
    ("For how many years must a written offer of source code be valid under GPL version 3?", &[("GPL-3",258,260)]),
    ("May the name of the University be used to endorse products under the BSD license?", &[("BSD",12,14)]),
    ("Does CC0 waive trademark or patent rights?", &[("CC0-1.0",104,105)]),
    ("How many copies of a GFDL document must be printed before the cover text rules apply?", &[("GFDL-1.3",142,144),("GFDL-1.2",140,142)]),
    ("How short must inline functions be so that the object file use is unrestricted under the LGPL 2.1?", &[("LGPL-2.1",259,263)]),
    ("What does Package mean in the Artistic License?", &[("Artistic",18,20)]),
    ("Within how many days must a breach of MPL 1.1 be cured?", &[("MPL-1.1",322,323)]),
];
const HELD: &[Row] = &[
    ("Which state's law governs the Mozilla Public License 1.1?", &[("MPL-1.1",402,404)]),
    ("Under the MPL 1.1, what must the text file about third party claims be called?", &[("MPL-1.1",186,188),("MPL-1.1",191,192)]),
    ("May I charge a fee for the Package itself according to the Artistic License?", &[("Artistic",87,90)]),
    ("Where may litigation about the Mozilla Public License 2.0 be brought?", &[("MPL-2.0",306,309)]),
    ("Who is the steward of the Mozilla license?", &[("MPL-2.0",328,330)]),
    ("Which company may publish new versions of MPL 1.1?", &[("MPL-1.1",280,282),("MPL-1.1",287,289)]),
    ("Does the Apache license let me use the trademarks of the licensor?", &[("Apache-2.0",139,142)]),
    ("What has to be done with the NOTICE file when distributing derivative works of Apache licensed code?", &[("Apache-2.0",107,116)]),
    ("How long must the offer to provide source be valid in GPL version 2?", &[("GPL-2",142,143)]),
    ("Can the GPL 2 be limited geographically if a country's patents restrict it?", &[("GPL-2",229,235)]),
    ("Which EU directive on databases does CC0 refer to?", &[("CC0-1.0",54,57)]),
    ("Is Creative Commons a party to the CC0 document?", &[("CC0-1.0",119,121)]),
    ("After how many days without notice is a terminated MPL 2.0 licence reinstated for good?", &[("MPL-2.0",240,242)]),
    ("Up to how many lines may macros and templates from LGPL 3 header files have?", &[("LGPL-3",68,70)]),
    ("What is called an aggregate in the GNU GPL version 3?", &[("GPL-3",237,241)]),
    ("Must modified files carry a notice with the date of change under GPL 2?", &[("GPL-2",95,96)]),
    ("What fee may I take for physically transferring a copy of a GPL 2 program?", &[("GPL-2",87,88)]),
    ("How much does a Back-Cover Text hold at most in the GFDL?", &[("GFDL-1.3",72,73),("GFDL-1.2",72,73)]),
    ("Under LGPL 2.1, must the customer be allowed to reverse engineer the work for debugging?", &[("LGPL-2.1",274,276)]),
    ("When do rights end if I sue somebody over patents in code under MPL 2.0?", &[("MPL-2.0",249,254)]),
];

struct Piece { path: String, first: u32, last: u32, text: String }

fn report(rows: &[Row]) {
    let pieces = split_folder();
    let mut swap = MemorySwap::default();
    let config = PagerConfig { model: "smollm2-135m".into(), window: Tokens(2000), cache: CacheModel::default() };
    let mut pager = BatchPagers::default().make(&config).unwrap();
    for piece in &pieces {
        let draft = PageDraft { kind: PageKind::Document, body: swap.insert(piece.text.as_str()), importance: Importance::default(), pinned: false, swapped: true,
          origin: Some(Origin { path: piece.path.clone(), first_line: piece.first, last_line: piece.last, file: kernel_types::hash_bytes(piece.path.as_bytes()) }) };
        pager.apply(&Change::Allocate(vec![draft]), &swap).unwrap();
    }
    let mut good = 0;
    for (q, answers) in rows {
        let found = pager.find(q, Tokens(1400));
        let texts: Vec<_> = found.iter().map(|r| { let p = pager.read(r.page, &swap).unwrap(); (p.origin.unwrap(), p.text) }).collect();
        let inn = texts.iter().any(|(o, _)| answers.iter().any(|(f, a, b)| o.path == *f && o.first_line <= *b && o.last_line >= *a));
        let pairs: Vec<(&str, &str)> = texts.iter().map(|(o, t)| (o.path.as_str(), &**t)).collect();
        let ranked = rank_texts(q, &pairs);
        let srcs: Vec<String> = ranked.iter().take(5).map(|r| { let (o, t) = &texts[r.index]; format!("{}:{}", o.path, o.first_line + best_line(q, t).unwrap().line as u32) }).collect();
        let ok = ranked.iter().take(5).any(|r| { let (o, t) = &texts[r.index]; let l = o.first_line + best_line(q, t).unwrap().line as u32; answers.iter().any(|(f, a, b)| o.path == *f && (*a..=*b).contains(&l)) });
        if ok { good += 1 }
        println!("{} {} n={} {q}\n      {srcs:?} want {answers:?}", if ok {"OK  "} else {"MISS"}, if inn {"in "} else {"OUT"}, found.len());
    }
    println!("{good}/{}", rows.len());
}

fn split_folder() -> Vec<Piece> {
    let mut out = Vec::new();
    let mut names: Vec<_> = std::fs::read_dir("/usr/share/common-licenses").unwrap().map(|e| e.unwrap()).filter(|e| e.file_type().unwrap().is_file()).map(|e| e.path()).collect();
    names.sort();
    for p in names { split(&p, &mut out); }
    out
}
fn split(p: &Path, out: &mut Vec<Piece>) {
    let text = std::fs::read_to_string(p).unwrap();
    let c = kernel_context::TokenCounter::for_model("smollm2-135m");
    let mut cur = String::new(); let mut first = 1; let mut n = 0;
    for line in text.lines() {
        n += 1;
        cur.push_str(line); cur.push('\n');
        let t = c.count(&cur);
        let (lo, hi) = std::env::var("SPLIT").ok().and_then(|v| v.split_once('-').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()))).unwrap_or((120, 220));
        if (line.trim().is_empty() && t >= lo) || t >= hi {
            out.push(Piece { path: p.file_name().unwrap().to_str().unwrap().into(), first, last: n, text: std::mem::take(&mut cur) });
            first = n + 1;
        }
    }
    if !cur.trim().is_empty() { out.push(Piece { path: p.file_name().unwrap().to_str().unwrap().into(), first, last: n, text: cur }); }
    let _ = PageNo(1);
}
