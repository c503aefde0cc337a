//! The program of the paging tests: each round allocates, notes, pins, recalls, frees and reads pages, and asks a model.

use kernel::{Input, Program, ProgramError, ProgramFactory, Saved, Step};
use kernel_types::{
    Answer, Call, ErrorKind, ExitStatus, InferArgs, JsonText, NewPage, Origin, PageKind, PageNo, RecallArgs,
    RecallQuery, Reply, Spec, Tokens, ToolCallArgs, hash_bytes,
};
use serde::{Deserialize, Serialize};

use crate::marks::{Marks, Phase};

/// Rounds of an agent.
pub(crate) const ROUNDS: u64 = 60;
/// Its window: a few rounds' worth.
pub(crate) const WINDOW: Tokens = Tokens(700);

/// The texts of the pages that a step allocates.
pub(crate) fn texts(step: u64) -> Vec<String> {
    let words = |n: u64| {
        let words = ["river", "stone", "garden", "engine", "silver", "bridge", "harbor"];
        let some = (0..24).map(|at| words[((step * 13 + n * 5 + at * at) % 7) as usize]);
        format!("Step {step}, text {n}: {}", some.collect::<Vec<_>>().join(" "))
    };
    match step % 4 {
        0 => vec![words(0)],
        1 => vec![words(0), format!("{{\"path\":\"{step}\"}}"), words(1)],
        _ => vec![words(0), words(1)],
    }
}

fn pages(step: u64) -> Vec<NewPage> {
    let texts = texts(step);
    let id = format!("call-{step}");
    let kind = |at: usize| match (step % 4, at) {
        (0, _) => PageKind::User,
        (1, 0) => PageKind::Assistant,
        (1, 1) => PageKind::ToolCall { id: id.clone(), name: "read_file".to_owned() },
        (1, _) => PageKind::ToolResult { id: id.clone(), is_error: false },
        _ => PageKind::Document,
    };
    let path = format!("file-{}", step % 6);
    let origin = Origin { file: hash_bytes(path.as_bytes()), path, first_line: 1, last_line: 2 };
    let page = |(at, text): (usize, String)| {
        let page = NewPage::text(kind(at), text);
        let document = page.kind == PageKind::Document;
        NewPage { swapped: step % 4 == 3, origin: document.then(|| origin.clone()), ..page }
    };
    texts.into_iter().enumerate().map(page).collect()
}

pub(crate) struct PagingFactory(pub(crate) Marks);

/// What it has: the pages of each step, from the first.
#[derive(Clone, Default, Serialize, Deserialize)]
struct State {
    step: u64,
    steps: Vec<Vec<PageNo>>,
}

struct Paging {
    state: State,
    marks: Marks,
}

impl ProgramFactory for PagingFactory {
    fn start(&self, _: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        Ok(Box::new(Paging { state: State::default(), marks: self.0.clone() }))
    }
    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        Ok(Box::new(Paging { state: saved.read(1)?, marks: self.0.clone() }))
    }
}

impl Paging {
    /// A page of the step so many before the last.
    fn page(&self, back: usize) -> Option<PageNo> {
        let at = self.state.steps.len().checked_sub(back)?;
        self.state.steps.get(at)?.last().copied()
    }

    fn take(&mut self, replies: Vec<Reply>) -> Result<(), String> {
        for (at, reply) in replies.into_iter().enumerate() {
            match reply.result {
                Ok(Answer::Pages(pages)) if at == 0 => self.state.steps.push(pages),
                Ok(Answer::Page(content)) => {
                    let step = self.state.steps.iter().position(|pages| pages.contains(&content.page));
                    let step = step.ok_or_else(|| format!("page {} is not ours", content.page))?;
                    let text = texts(step as u64 + 1).pop().unwrap_or_default();
                    if *content.text != *text {
                        return Err(format!("page {} reads {:?}, not {text:?}", content.page, content.text));
                    }
                }
                Ok(_) => {}
                // Another page to pin or to bring back may not fit beside what is pinned.
                Err(error) if at > 1 && error.kind == ErrorKind::TooLarge => {}
                Err(error) => {
                    return Err(format!("reply {at} of step {}: {}", self.state.step, error.message));
                }
            }
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Call> {
        let step = self.state.step;
        let note = Call::Note { name: format!("fact {}", step % 3), text: format!("It is step {step}.") };
        let mut calls = vec![Call::PageAlloc { pages: pages(step) }, note];
        // Four steps are a cycle of kinds: of five steps back, another kind each time.
        let pinned = self.page(5).filter(|_| step % 10 == 7).map(|page| Call::PagePin { page });
        let unpinned = self.page(10).filter(|_| step % 10 == 2).map(|page| Call::PageUnpin { page });
        let recall = |what| Call::Recall(RecallArgs { what, budget: Tokens(200) });
        let by_number =
            self.page(9).filter(|_| step % 3 == 1).map(|page| recall(RecallQuery::Pages(vec![page])));
        let by_words =
            (step % 3 == 2).then(|| recall(RecallQuery::Query(format!("step {} river", step / 2))));
        let freed = self.page(20).filter(|_| step.is_multiple_of(11)).map(|page| Call::PageFree { page });
        let read = self.page(14).filter(|_| step % 11 != 5).map(|page| Call::PageRead { page });
        calls.extend([pinned, unpinned, by_number, by_words, freed, read].into_iter().flatten());
        calls.push(Call::Infer(InferArgs::default()));
        let tool = "count_keyed".to_owned();
        calls.push(Call::ToolCall(ToolCallArgs { tool, args: JsonText::empty_object(), timeout: None }));
        calls
    }
}

impl Program for Paging {
    fn step(&mut self, input: Input) -> Step {
        self.marks.set(Phase::Prepare);
        if let Input::Replies(replies) = input
            && let Err(wrong) = self.take(replies)
        {
            return Step::Exit(ExitStatus::Failed(wrong));
        }
        if self.state.step == ROUNDS {
            return Step::Exit(ExitStatus::Ok(String::new()));
        }
        self.state.step += 1;
        Step::Calls(self.calls())
    }
    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, &self.state)
    }
}
