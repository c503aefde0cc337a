//! The saved form of an address space.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel_types::{BlobHash, Retention, Timestamp, decode, encode};
use serde::{Deserialize, Serialize};

use crate::extras::{Extra, Extras};
use crate::gaps::Gaps;
use crate::habits::Habits;
use crate::page::{Flags, Label, Number, Page, Place};
use crate::replacement::Replacement;
use crate::space::{Growth, Space, Topic};
use crate::stub::Stub;
use crate::table::{File, Gist, Table};
use crate::window::{Entry, Marks, What, Window};
use crate::{Pager, PagerConfig, PagerError, Ratio, Swap, TokenCounter};

const KIND: u8 = b'P';
const VERSION: u16 = 6;

/// No saved window takes more; saved bytes that say so are not ours.
const HUGE: u64 = 1 << 40;

#[derive(Serialize, Deserialize)]
struct Saved {
    /// The model whose tokenizer counted.
    model: String,
    ratio: Ratio,
    pages: Vec<Page>,
    labels: Vec<Label>,
    files: Vec<File>,
    gists: Vec<Gist>,
    extras: Vec<Extra>,
    /// The embedding models of all vectors.
    models: Vec<Arc<str>>,
    notes: BTreeMap<String, Number>,
    head: Vec<Number>,
    order: Vec<Entry>,
    stubs: BTreeMap<u32, Stub>,
    marks: Marks,
    fresh: BTreeSet<Number>,
    recalled: Vec<Number>,
    calls: u32,
    growth: Growth,
    habits: Habits,
    topic: Option<Topic>,
    gaps: Gaps,
    retention: Retention,
    pings: u32,
}

pub(crate) fn save(space: &Space) -> Result<Vec<u8>, PagerError> {
    let (extras, models) = space.table.extras.parts();
    let saved = Saved {
        model: space.config.model.clone(),
        ratio: space.ratio,
        pages: space.table.pages.iter().copied().collect(),
        labels: space.table.labels.iter().cloned().collect(),
        files: space.table.files.iter().cloned().collect(),
        gists: space.table.gists.iter().cloned().collect(),
        extras,
        models,
        notes: (*space.table.notes).clone(),
        head: (*space.window.head).clone(),
        order: space.window.order.iter().copied().collect(),
        stubs: (*space.window.stubs).clone(),
        marks: space.window.marks(),
        fresh: space.fresh.clone(),
        recalled: space.recalled.iter().collect(),
        calls: space.calls,
        growth: space.growth,
        habits: space.habits,
        topic: space.topic.clone(),
        gaps: space.gaps.clone(),
        retention: space.retention,
        pings: space.pings,
    };
    encode(KIND, VERSION, &saved).map_err(|error| PagerError::Corrupt(error.to_string()))
}

/// The space that [`save`] wrote, if its numbers lead where they say. If another model's tokenizer had counted, all is
/// counted anew.
pub(crate) fn load(
    config: &PagerConfig,
    policy: Replacement,
    bytes: &[u8],
    swap: &dyn Swap,
) -> Result<Space, PagerError> {
    let saved: Saved =
        decode(KIND, VERSION, bytes).map_err(|error| PagerError::Corrupt(error.to_string()))?;
    let contradiction =
        || PagerError::Corrupt("its pages, groups and window contradict each other".to_owned());
    let extras = Extras::of(saved.extras, saved.models).ok_or_else(contradiction)?;
    let table = Table::of(saved.pages, saved.labels, saved.files, saved.gists, extras, saved.notes)
        .ok_or_else(contradiction)?;
    let window = Window::of(saved.head, saved.order, saved.stubs, saved.marks).ok_or_else(contradiction)?;
    let mut space = Space::new(config.clone(), policy);
    let counted = TokenCounter::for_model(&saved.model);
    let same_model = saved.model == config.model;
    let recount = !counted.counts_like(&space.counter);
    space.ratio = if same_model { saved.ratio } else { space.ratio };
    (space.table, space.window) = (table, window);
    let recalled = saved.recalled.len();
    (space.fresh, space.recalled) = (saved.fresh, saved.recalled.into_iter().collect());
    (space.calls, space.growth, space.habits) = (saved.calls, saved.growth, saved.habits);
    space.topic = saved.topic;
    (space.gaps, space.retention, space.pings) = (saved.gaps, saved.retention, saved.pings);
    if !saved.ratio.is_sane() || recalled != space.recalled.len() || !is_sound(&space) {
        return Err(contradiction());
    }
    space.take_in(recount, swap)?;
    Ok(space)
}

impl Space {
    /// The space that was saved, in place of this one, which is empty.
    pub(crate) fn restored(&self, state: BlobHash, swap: &dyn Swap) -> Result<Self, PagerError> {
        if self.table.pages.len() > 0 || self.calls > 0 {
            return Err(PagerError::Invalid("only an empty space can be restored".to_owned()));
        }
        let text = swap.body(&state).ok_or_else(|| PagerError::Fault(vec![state]))?;
        let bytes = STANDARD.decode(&*text).map_err(|error| PagerError::Corrupt(error.to_string()))?;
        let restored = load(&self.config, self.policy, &bytes, swap)?;
        // What must stay may not fit into this window, whatever leaves: better said now than at the next call.
        restored.make_room(Timestamp(0))?;
        Ok(restored)
    }
}

/// Whether every group is where its record says, and nowhere else.
fn is_sound(space: &Space) -> bool {
    let order = space.window.entries().all(|(at, entry)| match entry.what() {
        What::Group(group) => {
            let record = space.table.record(group).filter(|record| record.group == group);
            record.is_some_and(|record| record.place() == Place::Window && record.slot == at + 1)
        }
        _ => true,
    });
    let costs = space.window.entries().all(|(_, entry)| match entry.what() {
        What::Group(group) => space.table.cost(group) == u64::from(entry.cost),
        What::Stub(stub) => {
            space.window.stubs.get(&stub).is_some_and(|stub| stub.cost == u64::from(entry.cost))
        }
        What::Hole => true,
    });
    let groups = || {
        (1..).zip(space.table.pages.iter()).filter(|(number, page): &(Number, &Page)| page.group == *number)
    };
    let count = |place: Place| groups().filter(|(_, page)| page.place() == place).count();
    let in_order = space.window.entries().filter(|(_, entry)| matches!(entry.what(), What::Group(_))).count();
    let head = space.window.head.iter().all(|group| is_group(space, *group, Place::Head));
    let has = |group: &Number, flag: Flags| {
        space.table.record(*group).is_some_and(|record| record.group == *group && record.has(flag))
    };
    let flagged = |flag: Flags| groups().filter(|(_, page)| page.has(flag)).count();
    let lists = space.fresh.iter().all(|group| has(group, Flags::FRESH))
        && space.recalled.iter().all(|group| has(&group, Flags::RECALLED));
    let pinned =
        space.table.live().all(|(_, page)| !page.has(Flags::PINNED) || space.table.is_resident(page));
    let strays = groups().all(|(_, page)| page.place() == Place::Window || page.slot == 0);
    let stubs = space.window.stubs.values().all(|stub| stub.is_sound(space.table.pages.len()));
    let topic = space.topic.as_ref().is_none_or(|topic| space.table.record(topic.page).is_some());
    let counters = space.growth.is_sane()
        && space.habits.is_sane()
        && space.gaps.is_sane()
        && space.calls < u32::MAX / 2
        && space.table.pages.iter().all(|page| page.used <= space.calls && page.left <= space.calls);
    let sums = space.window.order.total() < HUGE;
    order
        && costs
        && head
        && lists
        && pinned
        && strays
        && stubs
        && topic
        && counters
        && sums
        && count(Place::Window) == in_order
        && count(Place::Head) == distinct(&space.window.head)
        && count(Place::Notes) == distinct(&space.table.shown_notes().collect::<Vec<_>>())
        && flagged(Flags::FRESH) == space.fresh.len()
        && flagged(Flags::RECALLED) == space.recalled.len()
}

fn is_group(space: &Space, group: Number, place: Place) -> bool {
    space.table.record(group).is_some_and(|record| record.group == group && record.place() == place)
}

fn distinct(numbers: &[Number]) -> usize {
    numbers.iter().collect::<std::collections::BTreeSet<_>>().len()
}
