//! What the retrieval index promises, whatever it holds.

use kernel_context::retrieval::{Embedding, Hit, Index, IndexedPage, OutOfOrder, Query, Source};
use kernel_types::PageNo;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const ANIMALS: &[(u64, bool, &str)] = &[
    (0, true, "The Otter Book\notters swim in rivers"),
    (0, false, "and sleep in dens by the river"),
    (1, true, "The Badger Book\nbadgers dig dens"),
    (1, false, "badgers and otters are kin"),
    (2, false, "rivers run to the sea"),
];

fn search(index: &Index, text: &str) -> Vec<Hit> {
    index.search(&Query { text, embedding: None, limit: 100 })
}

fn order(index: &Index, text: &str) -> Vec<u64> {
    search(index, text).iter().map(|hit| hit.page.0).collect()
}

/// A page of a session, with its number as the only thing that matters.
fn say(index: &mut Index, page: u64, session: u64, about: &[&str], text: &str) {
    let source = Some(Source { id: session, path: "", top: false });
    index.add(&IndexedPage { page: PageNo(page), text, source, about, embedding: None }).unwrap();
}

fn animals(but: Option<usize>) -> Index {
    let mut index = Index::default();
    for (number, (file, top, text)) in ANIMALS.iter().enumerate().filter(|(number, _)| Some(*number) != but) {
        let path = format!("animals/{file}.txt");
        let source = Some(Source { id: *file, path: &path, top: *top });
        let page = PageNo(number as u64 + 1);
        index.add(&IndexedPage { page, text, source, about: &[], embedding: None }).unwrap();
    }
    index
}

#[test]
fn an_index_built_anew_answers_the_same() {
    for gone in 0..ANIMALS.len() {
        let (mut grown, fresh) = (animals(None), animals(Some(gone)));
        assert!(grown.remove(PageNo(gone as u64 + 1)));
        for query in ["otter book", "badgers in dens", "river", "animals 1 txt", "sea"] {
            assert_eq!(search(&grown, query), search(&fresh, query), "{query:?} without page {}", gone + 1);
        }
    }
}

#[test]
fn a_file_s_title_lifts_all_of_its_pages() {
    let order = order(&animals(None), "where are dens in the otter book");
    let place = |page| order.iter().position(|found| *found == page);
    assert!(place(2) < place(3), "{order:?}");
}

/// What a page of a random index is made of.
#[derive(Clone)]
struct Draft {
    page: u64,
    source: Option<(u64, bool)>,
    about: Vec<String>,
    text: String,
    vector: Option<[f32; 4]>,
}

impl Draft {
    fn random(random: &mut StdRng, page: u64) -> Self {
        let mut text = String::new();
        for _ in 0..random.random_range(0..30) {
            let most = random.random_range(1..200);
            text.push_str(&format!(" word{}", random.random_range(1..=most)));
        }
        let source = random.random_bool(0.9).then(|| (random.random_range(0..6), random.random_bool(0.1)));
        let labels = ["Ann", "Bob", "2023-05-07"].into_iter().filter(|_| random.random_bool(0.4));
        let about = labels.map(str::to_owned).collect();
        let vector = random.random_bool(0.3).then(|| std::array::from_fn(|_| random.random_range(-1.0..1.0)));
        Self { page, source, about, text, vector }
    }

    fn add(&self, index: &mut Index) {
        let path =
            self.source.map(|(id, _)| if id % 2 == 0 { format!("word{id}/notes.md") } else { String::new() });
        let path = path.unwrap_or_default();
        let source = self.source.map(|(id, top)| Source { id, path: &path, top });
        let about: Vec<&str> = self.about.iter().map(String::as_str).collect();
        let embedding = self.vector.and_then(|values| Embedding::new("m", &values));
        let page = IndexedPage {
            page: PageNo(self.page),
            text: &self.text,
            source,
            about: &about,
            embedding: embedding.as_ref(),
        };
        index.add(&page).unwrap();
    }
}

fn same(grown: &Index, drafts: &[Draft], seed: u64) {
    let mut fresh = Index::default();
    drafts.iter().for_each(|draft| draft.add(&mut fresh));
    assert_eq!(grown.len(), drafts.len(), "seed {seed}");
    let embedding = Embedding::new("m", &[0.3, -0.2, 0.9, 0.1]);
    for text in ["word1 word2", "word9", "Ann in May: word3 of word2", "how many word40 word150", "nothing"] {
        for (embedding, limit) in [(None, 1_000), (None, 5), (embedding.as_ref(), 30)] {
            let query = Query { text, embedding, limit };
            assert_eq!(grown.search(&query), fresh.search(&query), "seed {seed}, {text:?}");
        }
    }
}

#[test]
fn any_history_answers_as_its_live_pages() {
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut index, mut live): (Index, Vec<Draft>) = Default::default();
        let mut kept: Vec<(Index, Vec<Draft>)> = Vec::new();
        for page in 1..=if seed == 0 { 1_500 } else { 200 } {
            let draft = Draft::random(&mut random, page);
            draft.add(&mut index);
            live.push(draft);
            while random.random_bool(0.3) && !live.is_empty() {
                let gone = live.remove(random.random_range(0..live.len()));
                assert!(index.remove(PageNo(gone.page)) && !index.contains(PageNo(gone.page)));
            }
            if kept.len() < 4 && random.random_bool(0.02) {
                kept.push((index.clone(), live.clone()));
            }
            if random.random_bool(0.01)
                && let Some((other, pages)) = kept.pop()
            {
                kept.push((std::mem::replace(&mut index, other), std::mem::replace(&mut live, pages)));
            }
        }
        kept.push((index, live));
        kept.iter().for_each(|(index, live)| same(index, live, seed));
    }
}

#[test]
fn a_thousand_clones_share_their_pages() {
    let mut index = Index::default();
    let mut random = StdRng::seed_from_u64(7);
    let text = |random: &mut StdRng| {
        let words: Vec<String> = (0..58).map(|_| format!("w{}", random.random_range(0..3_000))).collect();
        words.join(" ")
    };
    for page in 0..1_300 {
        say(&mut index, page, page / 40, &["Ann"], &text(&mut random));
    }
    let mut bytes = 0;
    for _ in 0..1_000 {
        let mut clone = index.clone();
        for page in 1_300..1_303 {
            say(&mut clone, page, 99, &["Bob"], &text(&mut random));
        }
        bytes += clone.bytes_beside(&index);
    }
    let whole = index.bytes_beside(&Index::default());
    assert!(bytes < 4_000_000, "{bytes} bytes for a thousand clones of an index of {whole}");
}

#[test]
fn pages_come_in_order_and_once() {
    let mut index = Index::default();
    say(&mut index, 5, 0, &[], "otters");
    let again = IndexedPage { page: PageNo(5), text: "badgers", source: None, about: &[], embedding: None };
    assert_eq!(index.add(&again), Err(OutOfOrder { page: PageNo(5), last: PageNo(5) }));
    assert!(index.remove(PageNo(5)) && !index.remove(PageNo(5)) && !index.remove(PageNo(1)));
    assert_eq!(
        index.add(&again),
        Err(OutOfOrder { page: PageNo(5), last: PageNo(5) }),
        "removed, but it was there"
    );
    assert!(index.is_empty() && search(&index, "otters").is_empty());
}

#[test]
fn neighbours_in_a_session_are_found_and_others_are_not() {
    let mut index = Index::default();
    say(&mut index, 1, 1, &[], "How was the hike?");
    say(&mut index, 2, 2, &[], "Something else altogether.");
    say(&mut index, 3, 1, &[], "It rained all day.");
    say(&mut index, 4, 2, &[], "Nothing of that kind.");
    assert_eq!(
        order(&index, "hike"),
        [1, 3],
        "the answer stands next to the word, past a page of another session"
    );
}

#[test]
fn a_date_is_found_however_it_is_written() {
    let mut index = Index::default();
    for (page, date) in [(1, "2023-05-07"), (2, "1:56 pm on 8 June, 2023"), (3, "2022-11-30")] {
        say(&mut index, page, page, &[date], "We met again.");
    }
    for text in ["What was said in May?", "7 May 2023", "on May 7th", "the 7th of May"] {
        assert_eq!(order(&index, text)[0], 1, "{text:?}");
    }
    assert_eq!(order(&index, "in 2022"), [3]);
    assert_eq!(order(&index, "on 5 June")[0], 2, "told three days later");
    assert!(search(&index, "may I go").is_empty(), "a verb is not a month");
}

#[test]
fn who_speaks_comes_before_who_is_spoken_to() {
    let mut index = Index::default();
    say(&mut index, 1, 1, &["Melanie"], "Caroline, I went to a race for charity.");
    say(&mut index, 2, 2, &["Caroline"], "I went to a race for charity.");
    say(&mut index, 3, 3, &["Melanie"], "Caroline, Caroline, what a day.");
    assert_eq!(order(&index, "What did Caroline say about the race?")[0], 2);
    assert_eq!(order(&index, "What did Melanie say about the race?")[0], 1);
}

#[test]
fn vectors_of_one_model_add_to_words() {
    let embedding = |model: &str, values: [f32; 2]| Embedding::new(model, &values).unwrap();
    let mut index = Index::default();
    let pages = [("otters", "a", [1.0, 0.0]), ("badgers", "a", [0.0, 1.0]), ("weasels", "b", [1.0, 0.0])];
    for ((text, model, values), page) in pages.into_iter().zip(1..) {
        let embedding = embedding(model, values);
        let page =
            IndexedPage { page: PageNo(page), text, source: None, about: &[], embedding: Some(&embedding) };
        index.add(&page).unwrap();
    }
    let find = |text, model: &str| {
        let embedding = embedding(model, [0.9, 0.1]);
        let hits = index.search(&Query { text, embedding: Some(&embedding), limit: 10 });
        hits.iter().map(|hit| hit.page.0).collect::<Vec<_>>()
    };
    assert_eq!(find("swimmers", "a"), [1, 2], "no word in common, and another model's page left out");
    assert_eq!(find("weasels", "a"), [3, 1, 2], "words count more");
    assert_eq!(find("badgers", "c"), [2], "a model that no page knows");
}

#[test]
fn a_limit_keeps_the_best() {
    let mut index = Index::default();
    for page in 1..=2_000 {
        say(&mut index, page, page, &[], if page % 3 == 0 { "otters and badgers" } else { "otters" });
    }
    let all = index.search(&Query { text: "otters badgers", embedding: None, limit: 5_000 });
    assert_eq!(all.len(), 2_000);
    for limit in [0, 1, 10, 700] {
        let some = index.search(&Query { text: "otters badgers", embedding: None, limit });
        assert_eq!(some, all[..limit]);
    }
}

#[test]
fn clones_go_their_own_ways() {
    let mut index = animals(None);
    let mut clone = index.clone();
    clone.remove(PageNo(1));
    say(&mut clone, 6, 3, &[], "weasels");
    say(&mut index, 6, 3, &[], "stoats");
    assert_eq!((order(&clone, "weasels"), order(&clone, "stoats")), (vec![6], vec![]));
    assert_eq!((order(&index, "stoats"), order(&index, "weasels")), (vec![6], vec![]));
    assert!(index.contains(PageNo(1)) && !clone.contains(PageNo(1)));
}
