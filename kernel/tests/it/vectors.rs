//! Vectors of pages: made before the pages are, journaled with them, and never in the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kernel::mediation::entries;
use kernel::{Kernel, Limits};
use kernel_context::{Change, PageDraft};
use kernel_llm::{EmbedError, Embedder, FnEmbedder};
use kernel_storage::MemoryStore;
use kernel_types::{
    Answer, Call, CallResult, Event, ExitStatus, NewPage, PageKind, PageNo, Pid, ProcessState, RecallArgs,
    RecallQuery, Tokens,
};

use crate::world::{World, script};

/// A model that knows two subjects, whatever the words.
fn subjects() -> impl Embedder + 'static {
    FnEmbedder::new("subjects", |text: &str| {
        let about = |words: &[&str]| f32::from(u8::from(words.iter().any(|word| text.contains(word))));
        Ok(vec![about(&["cat", "pet"]), about(&["revenue", "money"])])
    })
}

fn alloc(kind: PageKind, texts: &[&str]) -> Call {
    let page =
        |text: &&str| NewPage { swapped: kind == PageKind::Document, ..NewPage::text(kind.clone(), *text) };
    Call::PageAlloc { pages: texts.iter().map(page).collect() }
}

fn recall(query: &str) -> Call {
    Call::Recall(RecallArgs { what: RecallQuery::Query(query.to_owned()), budget: Tokens(1000) })
}

fn found(result: &CallResult) -> Vec<PageNo> {
    let Ok(Answer::Recalled(hits)) = result else { panic!("{result:?}") };
    hits.iter().map(|hit| hit.page).collect()
}

type Function = Box<dyn Fn(&str) -> Result<Vec<f32>, EmbedError> + Send + Sync>;

const DOCUMENTS: [&str; 2] = ["The cat sleeps all day.", "Quarterly revenue grew."];

async fn drafts(kernel: &Kernel, pid: Pid) -> Vec<PageDraft> {
    let mut drafts = Vec::new();
    for entry in entries(&*kernel.store(), pid).await {
        let Event::Pages { changes } = entry.event else { continue };
        for change in changes.read::<Vec<Change>>().unwrap() {
            if let Change::Allocate(more) = change {
                drafts.extend(more);
            }
        }
    }
    drafts
}

#[tokio::test]
async fn a_page_that_shares_no_word_with_the_query_is_recalled() {
    let world = World::with(|builder| builder.embedder(subjects())).await;
    let results =
        world.make(vec![alloc(PageKind::Document, &DOCUMENTS), recall("Which pet is tired?")]).await;
    assert_eq!(found(&results[1]), [PageNo(1)]);
    world.end().await;
    let world = World::new().await;
    let results =
        world.make(vec![alloc(PageKind::Document, &DOCUMENTS), recall("Which pet is tired?")]).await;
    assert!(found(&results[1]).is_empty(), "without an embedder words decide");
    world.end().await;
}

#[tokio::test]
async fn vectors_are_journaled_with_their_pages_and_nobody_is_asked_again() {
    let store = MemoryStore::new();
    let world = World::with(|builder| builder.store(store.clone()).embedder(subjects())).await;
    let wait = Call::Receive(kernel_types::ReceiveArgs::default());
    let steps =
        vec![vec![alloc(PageKind::Document, &DOCUMENTS), wait], vec![recall("pet")], vec![recall("cat")]];
    let pid = world.start(script(steps)).await;
    world.run().await;
    let made = drafts(&world.kernel, pid).await;
    assert!(made.iter().all(|draft| draft.embedding.as_ref().is_some_and(|own| own.model() == "subjects")));
    drop(world);

    // A kernel that may only embed the query: the pages' vectors must come from the journal.
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let embedder = FnEmbedder::new("subjects", move |text: &str| {
        counted.fetch_add(1, Ordering::Relaxed);
        assert!(DOCUMENTS.iter().all(|document| *document != text), "a page is embedded again");
        Ok(vec![1.0, 0.0])
    });
    let world = World::with(|builder| builder.store(store).embedder(embedder)).await;
    world.kernel.resume(pid).await.unwrap();
    world.kernel.send(pid, "go on").await.unwrap();
    world.run().await;
    assert_eq!(found(&world.step(pid, 2).await[0]), [PageNo(1)]);
    assert_eq!(asked.load(Ordering::Relaxed), 2, "each query once");
    world.end().await;
}

#[tokio::test]
async fn what_an_embedder_does_not_answer_is_found_by_words() {
    let failing = || EmbedError::Failed { model: "broken".to_owned(), message: "no power".to_owned() };
    let broken: Vec<Function> = vec![
        Box::new(move |_| Err(failing())),
        Box::new(|_| panic!("a bug")),
        Box::new(|_| Ok(vec![f32::NAN])),
        Box::new(|_| {
            std::thread::sleep(Duration::from_millis(400));
            Ok(vec![1.0])
        }),
    ];
    for function in broken {
        let limits = Limits { embed: Duration::from_millis(100), ..Limits::default() };
        let embedder = FnEmbedder::new("broken", function);
        let world = World::with(|builder| builder.embedder(embedder).limits(limits)).await;
        let results = world.make(vec![alloc(PageKind::Document, &DOCUMENTS), recall("revenue")]).await;
        assert_eq!(found(&results[1])[0], PageNo(2));
        world.end().await;
    }
}

#[tokio::test]
async fn a_process_that_waits_for_vectors_can_be_killed() {
    let slow = FnEmbedder::new("slow", |_: &str| {
        std::thread::sleep(Duration::from_millis(500));
        Ok(vec![1.0])
    });
    let world = World::with(|builder| builder.embedder(slow)).await;
    let pid = world.spawn(vec![vec![alloc(PageKind::Document, &DOCUMENTS)]]).await;
    world
        .run_and(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.kernel.signal(pid, kernel_types::Signal::Kill).await.unwrap();
        })
        .await;
    assert!(matches!(world.state(pid).await, ProcessState::Exited(ExitStatus::Killed(_))));
    world.end().await;
}

#[tokio::test]
async fn conversation_pages_say_who_spoke_and_when() {
    let world = World::new().await;
    let calls = vec![
        alloc(PageKind::User, &["Good morning."]),
        alloc(PageKind::Assistant, &["Hello."]),
        alloc(PageKind::Document, &["Some file."]),
    ];
    let pid = world.spawn(vec![calls]).await;
    world.run().await;
    let made = drafts(&world.kernel, pid).await;
    let speakers: Vec<_> = made.iter().map(|draft| draft.about.first().map(String::as_str)).collect();
    assert_eq!(speakers, [Some("user"), Some("assistant"), None]);
    let day = &made[0].about[1];
    assert!(day.len() == 10 && day.starts_with("20") && day.matches('-').count() == 2, "{day}");
    assert!(made.iter().all(|draft| draft.embedding.is_none()), "nobody made vectors");
    world.end().await;
}
