//! A worker with more pages than its window holds, killed while it allocates, recalls, pins and shows them.
//!
//! After each kill the store is copied and opened by another kernel, whose page table is compared with what the journal's
//! changes give when they are replayed from the first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kernel::{Kernel, Until};
use kernel_context::{Change, MemorySwap, PageDraft, PagerConfig, PagerFactory, Rendered, Replacement};
use kernel_llm::{Canned, FnCpu};
use kernel_storage::{Blobs, SqliteStore};
use kernel_types::{
    Answer, Event, JsonText, Message, PageKind, PageNo, Part, Pid, Prompt, Role, SyscallNo, Tokens,
};

use crate::child::model;
use crate::family::{Left, Random, kills, left, seed};
use crate::kills::kill_once;
use crate::marks::{Marks, Phase};
use crate::pages::{PagingFactory, ROUNDS, WINDOW, texts};
use crate::watching::{Watching, check_window};
use crate::work::Counters;

#[tokio::test]
async fn killed_at_any_moment_a_paging_agent_has_all_its_pages_where_they_were() {
    let wanted = kills(50, 500);
    let mut random = Random(seed() ^ 0x7061_6765);
    let mut hits: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen = Seen::default();
    while hits.values().sum::<u64>() < wanted {
        let folder = tempfile::tempdir().expect("a folder");
        let scenario = format!("paging {ROUNDS}");
        for _ in 0..25 {
            let killed = kill_once(folder.path(), &scenario, &mut random, &mut hits);
            seen.add(check(folder.path(), |changes| changes).await.expect("what was killed is whole"));
            if !killed || hits.values().sum::<u64>() == wanted {
                break;
            }
        }
    }
    println!("kills by phase: {hits:?}; {seen:?}");
    for phase in Phase::ALL {
        assert!(hits.contains_key(&format!("{phase:?}")), "no kill hit {phase:?}: {hits:?}");
    }
    // How far the agents come between kills is a matter of the machine.
    let enough = [seen.reopened * 2, seen.compactions * 10, seen.pages].iter().all(|count| *count > wanted);
    assert!(enough, "{seen:?}");
}

/// Whether a change is of some kind.
type Is = fn(&Change) -> bool;

/// The checks can fail: with changes of one kind left out of the journal, something is not as it was.
#[tokio::test]
async fn page_changes_that_are_lost_are_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random(seed() ^ 0x6c6f_7374);
    let scenario = format!("paging {ROUNDS}");
    let mut whole = Seen::default();
    while whole.compactions < 10 {
        assert!(kill_once(folder.path(), &scenario, &mut random, &mut BTreeMap::new()), "it ended before");
        whole = check(folder.path(), |changes| changes).await.expect("nothing is lost");
    }
    let lost: [(&str, Is); 5] = [
        ("allocate", |change| matches!(change, Change::Allocate(_))),
        ("compact", |change| matches!(change, Change::Compact { .. })),
        ("rendered", |change| matches!(change, Change::Rendered { .. })),
        ("recall", |change| matches!(change, Change::Recall(_))),
        ("calibrate", |change| matches!(change, Change::Calibrate { .. })),
    ];
    for (name, is_lost) in lost {
        let without = |mut changes: Vec<Change>| {
            changes.retain(|change| !is_lost(change));
            changes
        };
        let found = check(folder.path(), without).await;
        println!("without {name}: {found:?}");
        assert!(found.is_err(), "lost changes went unnoticed: {name}");
    }
}

/// And so can those of a window: a call without its answer, a prompt that is too long, a prefix that is another.
#[test]
fn a_broken_window_is_noticed() {
    let mut pager = Replacement::default().make(&config()).expect("a window above zero");
    let mut swap = MemorySwap::default();
    for text in ["one", "two"] {
        let body = swap.insert(text);
        let draft = PageDraft::new(PageKind::User, body);
        pager.apply(&Change::Allocate(vec![draft]), &swap).expect("a page is allocated");
    }
    let whole = pager.render(&swap).expect("it fits");
    assert_eq!(
        (check_window(&whole, WINDOW), check_prefix(&whole, &whole, &BTreeSet::new())),
        (Ok(()), Ok(()))
    );
    assert!(check_window(&whole, Tokens(1)).is_err());
    let call = Part::ToolCall { id: "1".to_owned(), name: "x".to_owned(), args: JsonText::empty_object() };
    let mut orphan = whole.clone();
    orphan.messages.push(Message { role: Role::Assistant, parts: vec![call], breakpoint: false });
    assert!(check_window(&orphan, WINDOW).is_err());
    let mut other = whole.clone();
    other.segments[0].id += 1;
    assert!(check_prefix(&whole, &other, &BTreeSet::new()).is_err());
    let second = BTreeSet::from([whole.resident[1]]);
    assert!(check_prefix(&whole, &other, &second).is_err(), "what lies before the first that left stays");
    assert!(check_prefix(&whole, &other, &BTreeSet::from([whole.resident[0]])).is_ok());
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Prompts rendered from the replayed journal.
    prompts: u64,
    compactions: u64,
    /// Pages read back byte for byte.
    pages: u64,
    /// Kernels that took the agent over.
    reopened: u64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.prompts += other.prompts;
        self.compactions += other.compactions;
        self.pages += other.pages;
        self.reopened += other.reopened;
    }
}

/// Checks what a kill left; `journal` hands on the changes of each record.
async fn check(folder: &Path, mut journal: impl FnMut(Vec<Change>) -> Vec<Change>) -> Result<Seen, String> {
    let left = left(folder).await;
    let Some(pid) = left.rows.first().map(|row| row.pid) else { return Ok(Seen::default()) };
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["kernel.db", "kernel.db-wal"] {
        // Without a log to replay there is no such file.
        let _ = std::fs::copy(folder.join(name), copy.path().join(name));
    }
    let store = SqliteStore::open(copy.path().join("kernel.db")).await.expect("the copy opens");
    let swap = bodies(&store, &left, pid).await;
    let mut seen = Seen::default();
    let replayed = replay(&left, pid, &swap, &mut journal, &mut seen)?;
    drop(store);
    if let Some(state) = reopen(copy.path()).await? {
        seen.reopened += 1;
        if Some(&state) != replayed.as_ref() {
            return Err("the reopened page table is not what the journal gives".to_owned());
        }
        seen.pages += check_pages(&left, pid, &state, &swap)?;
    }
    Ok(seen)
}

/// All page bodies that the journal names.
async fn bodies(store: &SqliteStore, left: &Left, pid: Pid) -> MemorySwap {
    let mut hashes = Vec::new();
    for change in left.records[&pid].iter().flat_map(|(_, event)| changes(event)) {
        if let Change::Allocate(drafts) | Change::Extend(drafts) = change {
            hashes.extend(drafts.iter().map(|draft| draft.body));
        }
    }
    let mut swap = MemorySwap::default();
    for body in store.blobs(&hashes).await.expect("reads").into_iter().flatten() {
        swap.insert(std::str::from_utf8(&body).expect("a page is text"));
    }
    swap
}

fn changes(event: &Event) -> Vec<Change> {
    match event {
        Event::Pages { changes } => changes.read().expect("page changes are read"),
        _ => Vec::new(),
    }
}

fn config() -> PagerConfig {
    let model = model();
    PagerConfig { model: model.name, window: WINDOW, cache: model.cache, keep_warm: true }
}

/// Applies the journal's changes from the first, and renders where a model was asked: the prompt must be the one of the
/// journal, and begin like the one before. Answers the state, if there are pages.
fn replay(
    left: &Left,
    pid: Pid,
    swap: &MemorySwap,
    journal: &mut impl FnMut(Vec<Change>) -> Vec<Change>,
    seen: &mut Seen,
) -> Result<Option<Vec<u8>>, String> {
    let mut pager = Replacement::default().make(&config()).expect("a window above zero");
    let mut before: Option<Rendered> = None;
    let mut asked = None;
    let mut any = false;
    // Pages that left by a journaled plan since the last prompt.
    let mut left_by_plan: BTreeSet<PageNo> = BTreeSet::new();
    for (record, event) in &left.records[&pid] {
        if let Event::Intent { no: SyscallNo::Infer, view: Some(view), .. } = event {
            asked = Some(view.prompt);
        }
        for change in journal(changes(event)) {
            any = true;
            if let Change::Compact { evict, .. } = &change {
                seen.compactions += 1;
                left_by_plan.extend(evict);
            }
            if let Change::Free(page) = &change {
                left_by_plan.insert(*page);
            }
            pager.apply(&change, swap).map_err(|error| format!("record {}: {error}", record.number))?;
        }
        let Some(prompt) = asked.take_if(|_| matches!(event, Event::Step { .. })) else { continue };
        let rendered = pager.render(swap).map_err(|error| format!("record {}: {error}", record.number))?;
        check_window(&rendered, WINDOW)?;
        let shown = Prompt { messages: rendered.messages.clone(), ..Prompt::default() };
        if shown.hash() != prompt {
            return Err(format!("record {}: the prompt is not the one that was shown", record.number));
        }
        if let Some(before) = &before {
            check_prefix(before, &rendered, &left_by_plan)?;
        }
        before = Some(rendered);
        left_by_plan.clear();
        seen.prompts += 1;
    }
    Ok(any.then(|| pager.save().expect("a state can be saved")))
}

/// What was shown stays, up to the first page that left by a journaled plan, or a stub.
fn check_prefix(before: &Rendered, now: &Rendered, left: &BTreeSet<PageNo>) -> Result<(), String> {
    let notes = usize::from(before.segments.last().is_some_and(|segment| segment.page.is_none()));
    let firm = &before.segments[..before.segments.len() - notes];
    let same =
        firm.iter().zip(&now.segments).take_while(|(was, is)| (was.id, was.page) == (is.id, is.page)).count();
    let gone = |page: PageNo| left.contains(&page) || !now.resident.contains(&page);
    let cut = firm.iter().position(|segment| segment.page.is_none_or(gone)).unwrap_or(firm.len());
    let due = if left.is_empty() { firm.len() } else { cut };
    if same >= due { Ok(()) } else { Err(format!("the prefix changed at {same}, not declared before {due}")) }
}

/// Takes the copy over and runs it on for a few steps. Answers the page table as it was loaded, if the agent lived.
async fn reopen(folder: &Path) -> Result<Option<Vec<u8>>, String> {
    let store = SqliteStore::open(folder.join("kernel.db")).await.expect("the copy opens");
    let marks = Marks::open(&folder.join("marks"));
    let watching = Watching::default();
    let kernel = Kernel::builder()
        .store(store)
        .cpu(FnCpu::new(model(), |_| Ok(Canned::text("thought"))))
        .driver(Counters::new(folder, marks.clone()))
        .pager(watching.clone())
        .program("paging", PagingFactory(marks))
        .build()
        .await
        .expect("the kernel assembles");
    kernel.recover().await.map_err(|error| error.to_string())?;
    let state = watching.loaded();
    kernel.run_until(Until::Steps(2)).await.map_err(|error| error.to_string())?;
    match watching.wrong() {
        Some(wrong) => Err(wrong),
        None => Ok(state),
    }
}

/// Every page whose allocation is on record reads back as the program wrote it, but those that were freed.
fn check_pages(left: &Left, pid: Pid, state: &[u8], swap: &MemorySwap) -> Result<u64, String> {
    let pager = Replacement::default().load(&config(), state, swap).map_err(|error| error.to_string())?;
    let freed: Vec<PageNo> = left.records[&pid]
        .iter()
        .flat_map(|(_, event)| changes(event))
        .filter_map(|change| if let Change::Free(page) = change { Some(page) } else { None })
        .collect();
    let mut read = 0;
    for (record, event) in &left.records[&pid] {
        let Event::Outcome { result: Ok(Answer::Pages(pages)), .. } = event else { continue };
        // Notes are a call of their own and not of interest here.
        let Some(expected) = (record.call.is_some_and(|call| call.0 == 0)).then(|| texts(record.step.0))
        else {
            continue;
        };
        for (page, text) in pages.iter().zip(&expected).filter(|(page, _)| !freed.contains(page)) {
            match pager.read(*page, swap) {
                Ok(content) if *content.text == **text => read += 1,
                Ok(content) => return Err(format!("page {page} reads {:?}, not {text:?}", content.text)),
                Err(error)
                    if error == kernel_context::PagerError::NotFound(*page) && freed_with(pages, &freed) => {}
                Err(error) => return Err(format!("page {page}: {error}")),
            }
        }
    }
    Ok(read)
}

/// A tool call's pages are freed together.
fn freed_with(pages: &[PageNo], freed: &[PageNo]) -> bool {
    pages.iter().any(|page| freed.contains(page))
}
