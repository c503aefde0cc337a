//! What a page fault costs a process: it reads a page that is swapped out, which comes into its window while others leave.
//! With bodies in memory, and with bodies that must come from SQLite. Percentiles, not means: it is the slow one that is
//! waited for.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kernel::{Input, Kernel, Limits, Program, ProgramError, ProgramFactory, Saved, Step, Until};
use kernel_llm::{Canned, FnCpu, model_info};
use kernel_storage::SqliteStore;
use kernel_types::{Answer, Call, ExitStatus, InferArgs, NewPage, PageKind, PageNo, Spec, Tokens};

/// Pages of the process; builds with debug assertions only try it out.
const PAGES: u64 = if cfg!(debug_assertions) { 200 } else { 5_000 };
const READS: usize = if cfg!(debug_assertions) { 50 } else { 20_000 };
/// Pages allocated by one call.
const BATCH: usize = 500;
const WORDS_A_PAGE: usize = 300;

/// How long each read took, and how many pages were not in the window before.
#[derive(Default)]
struct Measured {
    times: Vec<Duration>,
    faults: usize,
}

/// Reads pages at random, one a step.
struct Reader {
    measured: Arc<Mutex<Measured>>,
    state: u64,
    asked: Option<Instant>,
    durable: bool,
}

impl Program for Reader {
    fn step(&mut self, input: Input) -> Step {
        match input {
            Input::Start(_) => {
                let some = |pages: &[NewPage]| Call::PageAlloc { pages: pages.to_vec() };
                let question = NewPage::text(PageKind::User, "What is the answer?");
                let all = pages().chunks(BATCH).map(some).collect::<Vec<_>>();
                return Step::Calls(all.into_iter().chain([some(&[question])]).collect());
            }
            // An inference commits: from then on the store has the bodies.
            Input::Replies(_) if !std::mem::replace(&mut self.durable, true) => {
                return Step::Calls(vec![Call::Infer(InferArgs::default())]);
            }
            Input::Signal(signal) => return Step::Exit(ExitStatus::Killed(signal)),
            Input::Replies(replies) => {
                assert!(replies.iter().all(|reply| reply.result.is_ok()), "{replies:?}");
                let mut measured = self.measured.lock().expect("nobody panics with it");
                if let Some(asked) = self.asked {
                    measured.times.push(asked.elapsed());
                    let Ok(Answer::Page(page)) = &replies[0].result else { panic!("{:?}", replies[0]) };
                    measured.faults += usize::from(!page.resident);
                }
                if measured.times.len() == READS {
                    return Step::Exit(ExitStatus::Ok("read".to_owned()));
                }
            }
        }
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.asked = Some(Instant::now());
        Step::Calls(vec![Call::PageRead { page: PageNo(1 + (self.state >> 20) % PAGES) }])
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, &())
    }
}

/// Pages of as many words, no two alike.
fn pages() -> Vec<NewPage> {
    let text = |page: u64| -> String {
        (0..WORDS_A_PAGE).map(|word| format!("w{} ", (page * 7919 + word as u64 * 31) % 5_003)).collect()
    };
    let swapped = |page| NewPage { swapped: true, ..NewPage::text(PageKind::Document, text(page)) };
    (0..PAGES).map(swapped).collect()
}

struct Readers(Arc<Mutex<Measured>>);

impl ProgramFactory for Readers {
    fn start(&self, _: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        Ok(Box::new(Reader { measured: Arc::clone(&self.0), state: 1, asked: None, durable: false }))
    }

    fn load(&self, _: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        self.start(&Spec::default())
    }
}

/// Reads with `bodies` bytes of page bodies kept in memory.
async fn measure(name: &str, bodies: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("kernel.db")).await.expect("opens");
    let measured = Arc::new(Mutex::new(Measured::default()));
    // A step that reads commits nothing: what is measured is the fault, not the commit of those before it.
    let limits = Limits { bodies, inner_steps: u32::MAX, ..Limits::default() };
    let cpu = FnCpu::new(model_info("instant"), |_| Ok(Canned::text("42")));
    let program = Readers(Arc::clone(&measured));
    let builder = Kernel::builder().store(store).cpu(cpu).limits(limits).program("reader", program);
    let kernel = builder.build().await.expect("the parts fit");
    let spec = Spec { program: "reader".to_owned(), window: Some(Tokens(8_000)), ..Spec::default() };
    kernel.spawn(spec).await.expect("spawned");
    kernel.run_until(Until::Idle).await.expect("the store works");
    kernel.shutdown().await.expect("all is durable");
    let mut measured = measured.lock().expect("nobody panics with it");
    assert_eq!(measured.times.len(), READS, "every page was read");
    assert!(measured.faults * 10 > READS * 8, "{} of {READS} reads were faults", measured.faults);
    measured.times.sort_unstable();
    let at = |share: usize| measured.times[(READS - 1) * share / 1000].as_secs_f64() * 1e6;
    println!(
        "{name:30} {:6} faults of {READS} reads  p50 {:7.1} us  p99 {:7.1} us  p99.9 {:7.1} us",
        measured.faults,
        at(500),
        at(990),
        at(999)
    );
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        measure("bodies in memory", 1 << 30).await;
        measure("bodies in SQLite", 1 << 14).await;
    });
}
