//! Spaces as JSON Lines: out, in, and every way a file can be wrong.

use kernel_context::conformance::Space;
use kernel_context::retrieval::Embedding;
use kernel_context::transfer::{Import, Imported, SpaceHeader, TransferError, export};
use kernel_context::{Change, MemorySwap, PageDraft, PagerFactory, Replacement};
use kernel_types::{PageKind, PageNo};

const POLICY: Replacement = Replacement::Generational { floor: 0.8 };

/// A space with all there is: instructions, tools, notes, documents, stubs, a freed page, vectors, calibration.
fn space() -> Space {
    let mut space = Space::new(&POLICY, 600);
    let draft = space.draft(PageKind::System, "Be brief.\n\"Quote\" \u{1F512}");
    space.allocate(vec![draft]);
    let drafts = space.tool("call-1", "a result\r\nof two lines");
    space.allocate(drafts);
    let draft = space.draft(PageKind::Note { name: "step".into() }, "3");
    space.allocate(vec![draft]);
    for n in 0..30 {
        let draft = space.lines(
            &format!("file-{}.md", n % 3),
            1 + n,
            &format!("Line {n}. {}", "More of it. ".repeat(8)),
        );
        let embedding = Embedding::new("compass", &[1.0, f32::from(u8::try_from(n).unwrap())]);
        space.allocate(vec![PageDraft { embedding, about: vec![format!("2024-01-{:02}", n + 1)], ..draft }]);
        if n % 4 == 0 {
            space.user(&format!("Question {n}?"));
            space.show();
        }
    }
    space.apply(&Change::Recall(vec![PageNo(8)]));
    space.apply(&Change::Free(PageNo(12)));
    space.apply(&Change::Calibrate {
        estimated: kernel_types::Tokens(1000),
        reported: kernel_types::Tokens(1030),
    });
    space.show();
    space
}

fn header(space: &Space) -> SpaceHeader {
    let (model, window) = (space.config.model.clone(), space.config.window);
    SpaceHeader { model, window, policy: POLICY.name().to_owned() }
}

fn exported(space: &Space) -> String {
    let mut out = Vec::new();
    export(&*space.pager, &header(space), &space.swap, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn read(text: &str) -> Result<(Imported, MemorySwap), TransferError> {
    let mut swap = MemorySwap::default();
    let imported = Import::open(text.as_bytes())?.read(&POLICY, Default::default(), &mut swap)?;
    Ok((imported, swap))
}

#[test]
fn an_imported_space_is_the_same() {
    let space = space();
    let text = exported(&space);
    let import = Import::open(text.as_bytes()).unwrap();
    assert_eq!(import.header(), &header(&space));
    let mut swap = MemorySwap::default();
    let imported = import.read(&POLICY, space.config.cache, &mut swap).unwrap();
    assert_eq!(imported.pager.save().unwrap(), space.saved());
    assert_eq!(imported.pager.render(&swap).unwrap(), space.render());
    let config = space.config.clone();
    let twin = Space { config, pager: imported.pager, swap, now: space.now };
    assert_eq!(exported(&twin), text, "and exported again");
}

#[test]
fn a_line_says_what_a_person_wants_to_know() {
    let text = exported(&space());
    let line: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&line["page"], &line["kind"], &line["pinned"]), (&1.into(), &"system".into(), &true.into()));
    assert_eq!(line["text"], "Be brief.\n\"Quote\" \u{1F512}");
    let page = text.lines().find(|line| line.contains("Line 3.")).unwrap();
    let page: serde_json::Value = serde_json::from_str(page).unwrap();
    assert_eq!((&page["origin"]["path"], &page["about"][0]), (&"file-0.md".into(), &"2024-01-04".into()));
    for name in ["tokens", "importance", "resident", "hash"] {
        assert!(!page[name].is_null(), "{name}");
    }
}

fn check(text: &str, expected: &str) {
    let said = read(text).map(|_| ()).unwrap_err().to_string();
    assert!(said.contains(expected), "{said:?} for {expected:?}");
}

#[test]
fn what_is_wrong_with_a_file_is_named_with_its_line() {
    let text = exported(&space());
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len();
    let with = |at: usize, line: &str| {
        let mut changed = lines.clone();
        changed[at - 1] = line;
        changed.join("\n") + "\n"
    };
    check("", "line 1: the file is cut off");
    check("hello\n", "line 1: expected value");
    check("{}\n", "line 1: not an exported space");
    check(&text.replacen("\"version\":2", "\"version\":9", 1), "version 9 of the format, this build reads 2");
    check(&text.replacen("generational", "lru", 1), "paged by \"lru\", this pager is \"generational\"");
    check(&with(3, "{"), "line 3: EOF while parsing");
    check(&with(4, "{\"page\":3}"), "line 4: missing field");
    check(&text.replacen("Line 3.", "Line 4.", 1), "does not match its hash");
    check(&text.replacen("\"importance\":0.5", "\"importance\":0.9", 1), "line 2: page 1 contradicts");
    check(&text.replacen("2024-01-04", "2024-01-05", 1), "contradicts the saved state");
    let mut moved = lines.clone();
    moved.swap(4, 5);
    check(&moved.join("\n"), "line 6: page 4 contradicts");
    let without: Vec<&str> =
        lines.iter().enumerate().filter(|(at, _)| *at != 6).map(|(_, line)| *line).collect();
    check(&without.join("\n"), &format!("line {}: {} pages of {} are there", last - 1, last - 3, last - 2));
    check(&lines[..last - 1].join("\n"), &format!("line {last}: the file is cut off"));
    check(&text[..text.len() - 9], &format!("line {last}: the file is cut off"));
    check(&(text.clone() + "\n{}\n"), &format!("line {}: something follows", last + 2));
    check(&with(last, "{\"state\":\"?\"}"), &format!("line {last}: saved page table does not load"));
    check(&with(last, "{\"state\":\"AAAA\"}"), &format!("line {last}: saved page table does not load"));
    check(&text.replacen("\"window\":600", "\"window\":0", 1), "window of 0 tokens");
    assert!(read(&(text + "\n\n")).is_ok(), "empty lines at the end do no harm");
}

#[test]
fn hostile_bytes_are_refused_or_harmless() {
    let text = exported(&space());
    // Without the last line break it is whole.
    for at in (0..text.trim_end().len()).step_by(23).filter(|at| text.is_char_boundary(*at)) {
        drop(read(&text[..at]).map(|_| ()).unwrap_err());
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 0x01;
        let mut swap = MemorySwap::default();
        if let Ok(import) = Import::open(&bytes[..])
            && let Ok(imported) = import.read(&POLICY, Default::default(), &mut swap)
        {
            drop(imported.pager.render(&swap));
        }
    }
}
