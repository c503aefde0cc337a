//! How fast the retrieval index is and how much memory it takes: `retrieval_speed [pages..]`, in a release build.
//!
//! Pages are made of pieces of the texts in `tests/recall`, so that words are as common as in real talk; questions are the
//! questions asked there.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::{Duration, Instant};

use kernel_context::retrieval::{Embedding, Index, IndexedPage, Query, Source};
use kernel_types::PageNo;
use serde_json::Value;

const TEXTS: [&str; 2] =
    [include_str!("../tests/recall/chats.jsonl"), include_str!("../tests/recall/dialogue.jsonl")];
const WORDS_A_PAGE: u64 = 58;
/// Pages asked for: what 4,096 tokens hold at the most.
const LIMIT: usize = 512;
const PAGES_A_SESSION: u64 = 40;
const SPEAKERS: [&str; 4] = ["Ann", "Bob", "Carla", "Dev"];

fn main() {
    let corpus = Corpus::new();
    clones(&corpus);
    let sizes: Vec<u64> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    for pages in if sizes.is_empty() { vec![10_000, 1_000_000] } else { sizes } {
        measure(&corpus, pages);
    }
    vectors(&corpus);
}

fn measure(corpus: &Corpus<'_>, pages: u64) {
    let before = resident_kb();
    let mut index = Index::default();
    let (mut bytes, mut spent) = (0, Duration::ZERO);
    for number in 0..pages {
        let text = corpus.page(number);
        bytes += text.len();
        let start = Instant::now();
        add(&mut index, number, &text, None);
        spent += start.elapsed();
    }
    let kilobytes = resident_kb().saturating_sub(before);
    let rate = spent.as_secs_f64() * 1e9 / bytes as f64;
    println!(
        "{pages} pages, {} MB of text: {rate:.1} ns a byte ({:.0} MB/s), index of {} MB",
        bytes / 1_000_000,
        1e3 / rate,
        kilobytes / 1_000
    );
    ask("all questions", &index, &corpus.questions);
    for page in (0..pages).step_by(10) {
        index.remove(PageNo(page));
    }
    ask("after removing each tenth page", &index, &corpus.questions);
}

fn ask(name: &str, index: &Index, questions: &[String]) {
    let mut times: Vec<Duration> = Vec::new();
    for text in questions {
        let start = Instant::now();
        let hits = index.search(&Query { text, embedding: None, limit: LIMIT });
        times.push(start.elapsed());
        assert!(!hits.is_empty(), "{text}");
    }
    report(name, times);
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("  {name}: p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms", at(0.5), at(0.99), at(1.0));
}

/// A thousand clones of an index of 100,000 tokens, a few pages added to each.
fn clones(corpus: &Corpus<'_>) {
    let mut index = Index::default();
    (0..1_300).for_each(|number| add(&mut index, number, &corpus.page(number), None));
    let mut forks: Vec<Vec<Index>> = Vec::new();
    for more in [0, 1, 3, 5, 10, 20] {
        let before = resident_kb();
        let mut clones: Vec<Index> = vec![index.clone(); 1_000];
        for (clone, seed) in clones.iter_mut().zip(0..) {
            (1_300..1_300 + more)
                .for_each(|number| add(clone, number, &corpus.page(number + 100 * seed), None));
        }
        println!("1,000 clones with {more} pages more each: {} kB", resident_kb().saturating_sub(before));
        forks.push(clones);
    }
}

fn vectors(corpus: &Corpus<'_>) {
    for pages in [10_000, 100_000] {
        let mut index = Index::default();
        for number in 0..pages {
            add(&mut index, number, &corpus.page(number), Some(&vector(number)));
        }
        let mut times = Vec::new();
        for (text, number) in corpus.questions.iter().zip(0..) {
            let embedding = vector(number + 7);
            let start = Instant::now();
            let hits = index.search(&Query { text, embedding: Some(&embedding), limit: LIMIT });
            times.push(start.elapsed());
            assert!(!hits.is_empty());
        }
        report(&format!("{pages} pages with vectors of 256 values"), times);
    }
}

fn vector(seed: u64) -> Embedding {
    let mut random = Random(seed);
    let values: Vec<f32> = (0..256).map(|_| random.below(2_001) as f32 - 1_000.0).collect();
    Embedding::new("random", &values).expect("not all zero")
}

fn add(index: &mut Index, number: u64, text: &str, embedding: Option<&Embedding>) {
    let session = number / PAGES_A_SESSION;
    let date = format!("2{:03}-{:02}-{:02}", session / 336 % 1000, session / 28 % 12 + 1, session % 28 + 1);
    let about = &[SPEAKERS[(number % 4) as usize], &date];
    let source = Some(Source { id: session, path: "", top: false });
    index.add(&IndexedPage { page: PageNo(number), text, source, about, embedding }).expect("numbers ascend");
}

struct Corpus<'a> {
    words: Vec<&'a str>,
    questions: Vec<String>,
}

impl Corpus<'_> {
    fn new() -> Self {
        let mut words: Vec<&'static str> = Vec::new();
        let mut questions = Vec::new();
        for line in TEXTS.iter().flat_map(|text| text.lines()) {
            let line: Value = serde_json::from_str(line).expect("the collection is JSON Lines");
            let text = line["text"].as_str().expect("every line has a text").to_owned();
            if line["type"] == "page" {
                words.extend(text.leak().split_whitespace());
            } else {
                questions.push(text);
            }
        }
        Self { words, questions }
    }

    /// Pieces of eight words and a word of its own.
    fn page(&self, number: u64) -> String {
        let mut random = Random(number);
        let mut text = String::new();
        for _ in 0..WORDS_A_PAGE / 8 {
            let start = random.below(self.words.len() as u64 - 8) as usize;
            text.push_str(&self.words[start..start + 8].join(" "));
            text.push(' ');
        }
        text.push_str(&format!("item{}", random.below(1 << 40)));
        text
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % end
    }
}

/// Memory of this process that is in RAM.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
