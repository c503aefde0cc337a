//! `react`: import what there is to read, recall what the task needs, think, call tools, repeat, answer.
//!
//! Arguments (all optional): `import` (read the workspace first, false), `path` (what of it, "."), `recall_tokens` (pages
//! recalled before the first call, 0 for none), `max_output` (tokens of one answer, 512), `max_turns` (inferences, 16),
//! `tools` ("native" or "none").

use kernel_types::{
    Answer, BlobHash, Call, CallResult, ErrorKind, ExitStatus, Importance, InferArgs, Inference, JsonText,
    Millis, NewPage, Origin, PageBody, PageKind, PageNo, Part, RecallArgs, RecallQuery, Recalled, Reply,
    Retry, Spec, SysError, Tokens, ToolCallArgs, ToolMode, ToolResult,
};
use serde::{Deserialize, Serialize};

use crate::program::{Input, Program, ProgramError, ProgramFactory, Saved, Step};

/// Waits and tries again so often when a model cannot be reached.
const PATIENCE: u32 = 4;
/// Skipped files that are remembered by name.
const MAX_SKIPS: usize = 100;

/// Reads the workspace; for the program, not for the model.
const IMPORT_TOOL: &str = "import_dir";

/// The name under which the tool that recalls pages is offered to models.
pub(crate) const RECALL_TOOL: &str = "recall";
/// What one recall of a model brings back at most.
const RECALL_TOKENS: u64 = 1000;
/// The same for pages that it names: it knows which it wants.
const PAGES_TOKENS: u64 = 4000;

/// Makes `react` programs.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReactFactory;

const VERSION: u16 = 1;

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Args {
    import: bool,
    path: String,
    recall_tokens: u64,
    max_output: u64,
    max_turns: u32,
    tools: ToolMode,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            import: false,
            path: ".".to_owned(),
            recall_tokens: 0,
            max_output: 512,
            max_turns: 16,
            tools: ToolMode::Native,
        }
    }
}

/// What the replies at hand answer.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum Phase {
    Start,
    /// The batch after this cursor.
    Importing(Option<String>),
    Recalling,
    /// What the model shall see next is being allocated.
    Showing,
    Thinking,
    /// Tool calls of an inference: its text and calls, kept until their results are there.
    Acting {
        text: String,
        calls: Vec<Acting>,
    },
    Waiting,
    Closing(String),
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Acting {
    id: String,
    name: String,
    args: JsonText,
    /// What the model will be shown, and whether it is an error; none while the call is to be made.
    result: Option<(String, bool)>,
}

#[derive(Clone, Serialize, Deserialize)]
struct React {
    args: Args,
    task: String,
    system: String,
    phase: Phase,
    turns: u32,
    failures: u32,
    files: u64,
    skipped: Vec<String>,
}

/// What `import_dir` answers.
#[derive(Deserialize)]
struct Imported {
    pages: Vec<ImportedPage>,
    skipped: Vec<Skipped>,
    files: u64,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct ImportedPage {
    path: String,
    first_line: u32,
    last_line: u32,
    file: BlobHash,
    attachment: usize,
}

#[derive(Deserialize)]
struct Skipped {
    path: String,
    reason: String,
}

impl ProgramFactory for ReactFactory {
    fn start(&self, spec: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        let args: Args =
            spec.args.read().map_err(|error| ProgramError::Arguments(format!("react: {error}")))?;
        if spec.task.trim().is_empty() {
            return Err(ProgramError::Arguments("react: the task is empty".to_owned()));
        }
        Ok(Box::new(React {
            args,
            task: spec.task.clone(),
            system: spec.system.clone(),
            phase: Phase::Start,
            turns: 0,
            failures: 0,
            files: 0,
            skipped: Vec::new(),
        }))
    }

    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        saved.read::<React>(VERSION).map(|react| Box::new(react) as Box<dyn Program>)
    }
}

impl Program for React {
    fn step(&mut self, input: Input) -> Step {
        match input {
            Input::Start(_) => self.begin(),
            Input::Replies(replies) => self.go_on(replies),
            Input::Signal(signal) => Step::Exit(ExitStatus::Killed(signal)),
        }
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(VERSION, self)
    }
}

impl React {
    fn begin(&mut self) -> Step {
        let mut calls = Vec::new();
        if !self.system.is_empty() {
            let page = NewPage::text(PageKind::System, self.system.as_str()).pinned();
            calls.push(Call::PageAlloc { pages: vec![page] });
        }
        if self.args.import {
            self.phase = Phase::Importing(None);
            calls.push(self.import(None));
            return Step::Calls(calls);
        }
        self.after_import(calls)
    }

    fn go_on(&mut self, replies: Vec<Reply>) -> Step {
        match std::mem::replace(&mut self.phase, Phase::Start) {
            Phase::Importing(cursor) => self.imported(cursor, replies),
            Phase::Showing => match replies.into_iter().find_map(|reply| reply.result.err()) {
                Some(error) => self.failed(&error),
                None => self.think(Vec::new()),
            },
            Phase::Recalling => match replies.into_iter().find_map(|reply| reply.result.err()) {
                Some(error) => self.failed(&error),
                None => self.ask(Vec::new()),
            },
            Phase::Thinking => {
                let local = replies.iter().rev().skip(1).find_map(|reply| reply.result.as_ref().err());
                match (local, last(&replies)) {
                    (Some(error), _) => self.failed(&error.clone()),
                    (None, Some(result)) => self.thought(result),
                    (None, None) => failure("no reply to an infer"),
                }
            }
            Phase::Acting { text, calls } => self.acted(text, calls, replies),
            Phase::Waiting => self.think(Vec::new()),
            Phase::Closing(answer) => Step::Exit(ExitStatus::Ok(answer)),
            Phase::Start => failure("replies before the first call"),
        }
    }

    fn import(&self, cursor: Option<&str>) -> Call {
        let args = match cursor {
            Some(cursor) => serde_json::json!({ "path": self.args.path, "cursor": cursor }),
            None => serde_json::json!({ "path": self.args.path }),
        };
        Call::ToolCall(ToolCallArgs { tool: IMPORT_TOOL.to_owned(), args: args.into(), timeout: None })
    }

    fn imported(&mut self, cursor: Option<String>, replies: Vec<Reply>) -> Step {
        let tool = match last(&replies) {
            Some(Ok(Answer::Tool(tool))) if tool.success => tool,
            Some(Ok(Answer::Tool(tool))) => {
                return failure(&format!("cannot read the workspace: {}", tool.text));
            }
            Some(Err(error)) if error.kind == ErrorKind::QuotaExceeded => {
                let again = self.import(cursor.as_deref());
                self.phase = Phase::Importing(cursor);
                return Step::call(again);
            }
            Some(Err(error)) => return self.failed(&error),
            _ => return failure("no reply to an import"),
        };
        let imported: Imported = match tool.data.read() {
            Ok(imported) => imported,
            Err(error) => return failure(&format!("import_dir answered something else: {error}")),
        };
        self.files += imported.files;
        for skipped in &imported.skipped {
            if self.skipped.len() < MAX_SKIPS {
                self.skipped.push(format!("{}: {}", skipped.path, skipped.reason));
            }
        }
        let mut calls: Vec<Call> = Vec::new();
        let pages: Vec<NewPage> = imported.pages.iter().filter_map(|page| document(page, &tool)).collect();
        if !pages.is_empty() {
            calls.push(Call::PageAlloc { pages });
        }
        if let Some(cursor) = &imported.cursor {
            calls.push(self.import(Some(cursor)));
            self.phase = Phase::Importing(Some(cursor.clone()));
            return Step::Calls(calls);
        }
        let summary = serde_json::json!({ "files": self.files, "skipped": self.skipped }).to_string();
        calls.push(Call::Put { name: "import".to_owned(), value: Some(summary) });
        self.skipped.clear();
        self.after_import(calls)
    }

    fn after_import(&mut self, mut calls: Vec<Call>) -> Step {
        if self.args.recall_tokens == 0 {
            return self.ask(calls);
        }
        calls.push(Call::Recall(RecallArgs {
            what: RecallQuery::Query(self.task.clone()),
            budget: Tokens(self.args.recall_tokens),
        }));
        self.phase = Phase::Recalling;
        Step::Calls(calls)
    }

    /// Puts the task behind what was recalled and thinks.
    fn ask(&mut self, mut calls: Vec<Call>) -> Step {
        calls.push(Call::PageAlloc {
            pages: vec![NewPage::text(PageKind::User, self.task.as_str()).pinned()],
        });
        self.think(calls)
    }

    fn think(&mut self, calls: Vec<Call>) -> Step {
        if !calls.is_empty() {
            // First see whether it fits: a model that is asked without the question costs money all the same.
            self.phase = Phase::Showing;
            return Step::Calls(calls);
        }
        Step::call(self.infer())
    }

    fn infer(&mut self) -> Call {
        self.phase = Phase::Thinking;
        Call::Infer(InferArgs {
            max_output: Tokens(self.args.max_output),
            tools: self.args.tools,
            without: vec![IMPORT_TOOL.to_owned()],
            ..InferArgs::default()
        })
    }

    fn thought(&mut self, result: CallResult) -> Step {
        let inference = match result {
            Ok(Answer::Inference(inference)) => inference,
            Ok(_) => return failure("an infer answered something else"),
            Err(error) => return self.failed(&error),
        };
        self.failures = 0;
        self.turns += 1;
        let acting = actions(&inference);
        let text = inference.text();
        if acting.is_empty() {
            if text.trim().is_empty() {
                return failure("the model gave an empty answer");
            }
            self.phase = Phase::Closing(text.clone());
            return Step::call(Call::PageAlloc { pages: vec![NewPage::text(PageKind::Assistant, text)] });
        }
        if self.turns >= self.args.max_turns {
            return failure(&format!("no answer within {} turns", self.args.max_turns));
        }
        let calls = acting.iter().map(action).collect();
        self.phase = Phase::Acting { text, calls: acting };
        Step::Calls(calls)
    }

    /// The results are there: one group of the model's words, its calls and their results.
    fn acted(&mut self, text: String, mut acting: Vec<Acting>, replies: Vec<Reply>) -> Step {
        let asked = acting.iter_mut().filter(|call| call.result.is_none());
        for (call, reply) in asked.zip(replies) {
            // What a budget refused is asked again when there is more; what was done is not done twice.
            if !reply.result.as_ref().is_err_and(|error| error.kind == ErrorKind::QuotaExceeded) {
                call.result = Some(shown(&reply.result));
            }
        }
        let again: Vec<Call> = acting.iter().filter(|call| call.result.is_none()).map(action).collect();
        if !again.is_empty() {
            self.phase = Phase::Acting { text, calls: acting };
            return Step::Calls(again);
        }
        let mut pages = Vec::with_capacity(1 + 2 * acting.len());
        if !text.is_empty() {
            pages.push(NewPage::text(PageKind::Assistant, text));
        }
        pages.extend(acting.iter().map(|call| NewPage::tool_call(&call.id, &call.name, &call.args)));
        for call in acting {
            let (shown, is_error) = call.result.unwrap_or_default();
            pages.push(NewPage::tool_result(call.id, shown, is_error));
        }
        self.think(vec![Call::PageAlloc { pages }])
    }

    /// Tries again what may succeed, gives up on the rest.
    fn failed(&mut self, error: &SysError) -> Step {
        match (error.kind, error.retry) {
            // Suspended by a limit and resumed by a grant, or stopped and continued: the same again.
            (ErrorKind::QuotaExceeded, _) | (ErrorKind::Cancelled, Retry::Now) => self.think(Vec::new()),
            (_, Retry::Never) => failure(&error.message),
            (_, retry) if self.failures < PATIENCE => {
                self.failures += 1;
                let pause = match retry {
                    Retry::After(pause) => pause,
                    _ => Millis(500 << self.failures),
                };
                self.phase = Phase::Waiting;
                Step::call(Call::Sleep { ms: pause })
            }
            _ => failure(&error.message),
        }
    }
}

fn document(page: &ImportedPage, tool: &ToolResult) -> Option<NewPage> {
    let body = PageBody::Blob(*tool.attachments.get(page.attachment)?);
    let origin = Origin {
        path: page.path.clone(),
        first_line: page.first_line,
        last_line: page.last_line,
        file: page.file,
    };
    Some(NewPage {
        kind: PageKind::Document,
        body,
        importance: Importance::new(0.3).unwrap_or_default(),
        pinned: false,
        swapped: false,
        origin: Some(origin),
    })
}

fn actions(inference: &Inference) -> Vec<Acting> {
    let calls = inference.parts.iter().filter_map(|part| match part {
        Part::ToolCall { id, name, args } => {
            Some(Acting { id: id.clone(), name: name.clone(), args: args.clone(), result: None })
        }
        _ => None,
    });
    calls.collect()
}

/// The syscall for a tool call of the model.
fn action(acting: &Acting) -> Call {
    if acting.name == RECALL_TOOL {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wanted {
            query: String,
            pages: Vec<PageNo>,
        }
        let wanted = acting.args.read::<Wanted>().unwrap_or_default();
        let (what, budget) = match wanted.pages.is_empty() {
            true => (RecallQuery::Query(wanted.query), RECALL_TOKENS),
            false => (RecallQuery::Pages(wanted.pages), PAGES_TOKENS),
        };
        return Call::Recall(RecallArgs { what, budget: Tokens(budget) });
    }
    Call::ToolCall(ToolCallArgs { tool: acting.name.clone(), args: acting.args.clone(), timeout: None })
}

/// What the model is shown of a result.
fn shown(result: &CallResult) -> (String, bool) {
    match result {
        Ok(Answer::Tool(tool)) => (tool.text.clone(), !tool.success),
        Ok(Answer::Recalled(hits)) if hits.is_empty() => ("nothing fits".to_owned(), false),
        Ok(Answer::Recalled(hits)) => (recalled(hits), false),
        Ok(_) => ("done".to_owned(), false),
        Err(error) => (error.message.clone(), true),
    }
}

/// Where the pages are: what was in the window is pointed to, not repeated.
fn recalled(hits: &[Recalled]) -> String {
    let pages = |resident: bool| {
        let pages = hits.iter().filter(|hit| hit.was_resident == resident);
        let mut pages: Vec<PageNo> = pages.map(|hit| hit.page).collect();
        pages.sort_unstable();
        pages.iter().map(PageNo::to_string).collect::<Vec<_>>().join(", ")
    };
    match (pages(false).as_str(), pages(true).as_str()) {
        (back, "") => format!("pages {back} are in your window now, at its end"),
        ("", there) => format!("pages {there} are in your window now, as they were before"),
        (back, there) => {
            format!("pages {back} are in your window now, at its end; pages {there} were in it before")
        }
    }
}

fn last(replies: &[Reply]) -> Option<CallResult> {
    replies.last().map(|reply| reply.result.clone())
}

fn failure(why: &str) -> Step {
    Step::Exit(ExitStatus::Failed(why.to_owned()))
}
