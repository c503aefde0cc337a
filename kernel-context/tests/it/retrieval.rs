//! What the retrieval index promises, whatever it holds.

use kernel_context::retrieval::{Embedding, Hit, Index, IndexedPage, OutOfOrder, Query, Source};
use kernel_types::PageNo;

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
